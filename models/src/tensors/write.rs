//! Writing safetensors files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use serde_json::{Map, Value, json};

use super::{ElementType, HostTensor, TensorData, TensorFileError};

/// Writes tensors in the safetensors format: the same bytes for the same tensors, in whatever order they come.
/// `metadata` is joined by `"format": "pt"`, without which older versions of Hugging Face's readers refuse the file.
///
/// # Errors
/// [`TensorFileError::NotFinite`] at the first infinite or undefined number, [`TensorFileError::Unwritable`] for a
/// name that comes twice or data of another length than its shape, or the error of `out` as [`std::io::Error`] would show it.
pub fn write(
    out: &mut dyn Write,
    tensors: &[HostTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), TensorFileError> {
    let order = layout(tensors);
    let header = header(tensors, &order, metadata)?;
    let failed = |name: &str| {
        let name = name.to_owned();
        move |e: std::io::Error| TensorFileError::Unwritable { name, reason: e.to_string() }
    };
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed("(header)"))?;
    out.write_all(&header).map_err(failed("(header)"))?;
    for &i in &order {
        let tensor = &tensors[i];
        let bytes = match &tensor.data {
            TensorData::Bytes(bytes) => Cow::Borrowed(&bytes[..]),
            TensorData::Fetch(fetch) => Cow::Owned(fetch()),
        };
        if bytes.len() != length(tensor)? {
            let reason = format!(
                "{} bytes for {} elements of {}",
                bytes.len(),
                elements(tensor)?,
                tensor.dtype
            );
            return Err(TensorFileError::Unwritable { name: tensor.name.clone(), reason });
        }
        check_finite(tensor, &bytes)?;
        out.write_all(&bytes).map_err(failed(&tensor.name))?;
    }
    Ok(())
}

/// How many bytes [`write()`] would write.
///
/// # Errors
/// As [`write()`], as far as names and shapes go.
pub fn file_length(
    tensors: &[HostTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<u64, TensorFileError> {
    let mut total = 8 + header(tensors, &layout(tensors), metadata)?.len() as u64;
    for tensor in tensors {
        total += length(tensor)? as u64;
    }
    Ok(total)
}

/// Wider elements first, so that all are aligned; then by name.
fn layout(tensors: &[HostTensor<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&tensors[a], &tensors[b]);
        b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name))
    });
    order
}

fn header(
    tensors: &[HostTensor<'_>],
    order: &[usize],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, TensorFileError> {
    let mut metadata = metadata.clone();
    metadata.insert("format".to_owned(), "pt".to_owned());
    let mut map = Map::new();
    map.insert("__metadata__".to_owned(), json!(metadata));
    let mut names = HashSet::new();
    let mut offset = 0;
    for &i in order {
        let tensor = &tensors[i];
        let end = offset + length(tensor)?;
        if tensor.name == "__metadata__" || !names.insert(&tensor.name) {
            let reason = "the name comes twice, or is reserved".to_owned();
            return Err(TensorFileError::Unwritable { name: tensor.name.clone(), reason });
        }
        map.insert(
            tensor.name.clone(),
            json!({"dtype": tensor.dtype.to_string(), "shape": tensor.shape, "data_offsets": [offset, end]}),
        );
        offset = end;
    }
    let mut bytes = Value::Object(map).to_string().into_bytes();
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    Ok(bytes)
}

fn elements(tensor: &HostTensor<'_>) -> Result<usize, TensorFileError> {
    tensor
        .shape
        .iter()
        .try_fold(1usize, |n, &extent| n.checked_mul(extent))
        .ok_or_else(|| too_large(tensor))
}

fn length(tensor: &HostTensor<'_>) -> Result<usize, TensorFileError> {
    elements(tensor)?.checked_mul(tensor.dtype.bitsize() / 8).ok_or_else(|| too_large(tensor))
}

fn too_large(tensor: &HostTensor<'_>) -> TensorFileError {
    let reason = format!("shape {:?} is too large", tensor.shape);
    TensorFileError::Unwritable { name: tensor.name.clone(), reason }
}

/// A checkpoint with a NaN in it is worse than none: it looks like progress.
fn check_finite(tensor: &HostTensor<'_>, bytes: &[u8]) -> Result<(), TensorFileError> {
    let bad = match tensor.dtype {
        ElementType::F32 => {
            let mut values =
                bytes.as_chunks::<4>().0.iter().map(|&b| f64::from(f32::from_le_bytes(b)));
            first_bad(&mut values)
        }
        ElementType::F64 => {
            first_bad(&mut bytes.as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b)))
        }
        _ => None,
    };
    match bad {
        Some((index, value)) => {
            Err(TensorFileError::NotFinite { name: tensor.name.clone(), index, value })
        }
        None => Ok(()),
    }
}

fn first_bad(values: &mut dyn Iterator<Item = f64>) -> Option<(usize, f64)> {
    values.enumerate().find(|(_, v)| !v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn bytes_of(tensors: &[HostTensor<'_>]) -> Result<Vec<u8>, TensorFileError> {
        let mut out = Vec::new();
        write(&mut out, tensors, &BTreeMap::new()).map(|()| out)
    }

    #[test]
    fn test_write__equals_the_bytes_of_the_reference_implementation() {
        let (a, b, c) = ([1.0f32, 2.0, 3.0], [4.0f64], [7u32, 8]);
        let tensors = [
            HostTensor::u32("z.ids", &[2], &c),
            HostTensor::f32("b", &[3, 1], &a),
            HostTensor::f64("x\"y", &[], &b),
        ];
        let view = |dtype, shape: &[usize], bytes| {
            safetensors::tensor::TensorView::new(dtype, shape.to_vec(), bytes)
                .expect("lengths agree")
        };
        let reference = safetensors::serialize(
            [
                ("b", view(ElementType::F32, &[3, 1], bytemuck::must_cast_slice(&a))),
                ("x\"y", view(ElementType::F64, &[], bytemuck::must_cast_slice(&b))),
                ("z.ids", view(ElementType::U32, &[2], bytemuck::must_cast_slice(&c))),
            ],
            Some(HashMap::from([("format".to_owned(), "pt".to_owned())])),
        )
        .expect("the reference accepts them");
        let written = bytes_of(&tensors).expect("finite and consistent");
        assert_eq!(written, reference);
        assert_eq!(
            file_length(&tensors, &BTreeMap::new()).expect("consistent"),
            written.len() as u64
        );
    }

    #[test]
    fn test_write__order_of_the_list_does_not_matter() {
        let data = [0.5f32; 6];
        let make = |names: [&str; 3]| bytes_of(&names.map(|n| HostTensor::f32(n, &[2, 3], &data)));
        assert_eq!(make(["a", "b", "c"]).expect("valid"), make(["c", "a", "b"]).expect("valid"));
    }

    #[test]
    fn test_write__fetched_tensors_give_the_same_bytes() {
        let data = [0.5f32, -1.0];
        let fetched = HostTensor {
            data: TensorData::Fetch(Box::new(|| bytemuck::must_cast_slice(&data).to_vec())),
            ..HostTensor::f32("w", &[2], &[])
        };
        assert_eq!(
            bytes_of(&[fetched]).expect("valid"),
            bytes_of(&[HostTensor::f32("w", &[2], &data)]).expect("valid")
        );
    }

    #[test]
    fn test_write__refuses_numbers_that_are_not_finite() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = bytes_of(&[HostTensor::f32("h.0.w", &[3], &[1.0, 2.0, value])])
                .expect_err("not finite");
            assert!(
                matches!(&error, TensorFileError::NotFinite { name, index: 2, .. } if name == "h.0.w"),
                "{error}"
            );
        }
        let error = bytes_of(&[HostTensor::f64("m", &[1], &[f64::NAN])]).expect_err("not finite");
        assert!(matches!(error, TensorFileError::NotFinite { index: 0, .. }));
    }

    #[test]
    fn test_write__refuses_names_that_come_twice_and_lengths_that_disagree() {
        let w = [1.0f32];
        assert!(
            bytes_of(&[HostTensor::f32("w", &[1], &w), HostTensor::f32("w", &[1], &w)]).is_err()
        );
        assert!(bytes_of(&[HostTensor::f32("__metadata__", &[1], &w)]).is_err());
        assert!(bytes_of(&[HostTensor::f32("w", &[2], &w)]).is_err());
        assert!(bytes_of(&[HostTensor::f32("w", &[usize::MAX, 2], &w)]).is_err());
    }
}
