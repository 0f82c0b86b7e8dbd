//! Things that have parameters.

use crate::Param;

/// Where a walk over a module's parameters stands: `h.0.attn.c_attn`.
#[derive(Clone, Debug, Default)]
pub struct Path(String);

impl Path {
    /// Appends a name for as long as `f` runs.
    pub fn at<T>(&mut self, name: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let end = self.0.len();
        if end > 0 {
            self.0.push('.');
        }
        self.0.push_str(name);
        let out = f(self);
        self.0.truncate(end);
        out
    }

    /// The dotted name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Something with named parameters. Optimisers, checkpoints and parameter counts all walk it, in one order: that of
/// the fields. The [`module!`](crate::module) macro writes both walks from one list of fields.
pub trait Module {
    /// Calls `f` with the dotted name of each parameter.
    fn visit(&self, path: &mut Path, f: &mut dyn FnMut(&str, &Param));

    /// As `visit`, for changing them.
    fn visit_mut(&mut self, path: &mut Path, f: &mut dyn FnMut(&str, &mut Param));
}

/// Calls `f` for each parameter of `module`, from the root.
pub fn for_each_param(module: &(impl Module + ?Sized), mut f: impl FnMut(&str, &Param)) {
    module.visit(&mut Path::default(), &mut f);
}

/// Calls `f` for each parameter of `module`, for changing it.
pub fn for_each_param_mut(
    module: &mut (impl Module + ?Sized),
    mut f: impl FnMut(&str, &mut Param),
) {
    module.visit_mut(&mut Path::default(), &mut f);
}

impl Module for Param {
    fn visit(&self, path: &mut Path, f: &mut dyn FnMut(&str, &Param)) {
        f(path.as_str(), self);
    }

    fn visit_mut(&mut self, path: &mut Path, f: &mut dyn FnMut(&str, &mut Param)) {
        f(path.as_str(), self);
    }
}

impl<M: Module> Module for Option<M> {
    fn visit(&self, path: &mut Path, f: &mut dyn FnMut(&str, &Param)) {
        if let Some(m) = self {
            m.visit(path, f);
        }
    }

    fn visit_mut(&mut self, path: &mut Path, f: &mut dyn FnMut(&str, &mut Param)) {
        if let Some(m) = self {
            m.visit_mut(path, f);
        }
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit(&self, path: &mut Path, f: &mut dyn FnMut(&str, &Param)) {
        for (i, m) in self.iter().enumerate() {
            path.at(&i.to_string(), |path| m.visit(path, f));
        }
    }

    fn visit_mut(&mut self, path: &mut Path, f: &mut dyn FnMut(&str, &mut Param)) {
        for (i, m) in self.iter_mut().enumerate() {
            path.at(&i.to_string(), |path| m.visit_mut(path, f));
        }
    }
}

/// Implements [`Module`] for a struct: the fields that have parameters, in the order of the walk.
/// A field is named as it is written, or as the string after it says.
///
/// ```
/// use foundry_engine::{Param, module};
/// struct LayerNorm { weight: Param, bias: Param, epsilon: f64 }
/// module!(LayerNorm { weight, bias });
/// ```
#[macro_export]
macro_rules! module {
    ($type:ty { $($field:ident $(as $name:literal)?),* $(,)? }) => {
        impl $crate::Module for $type {
            fn visit(&self, path: &mut $crate::Path, f: &mut dyn FnMut(&str, &$crate::Param)) {
                $(path.at($crate::module!(@name $field $($name)?), |path| {
                    $crate::Module::visit(&self.$field, path, f);
                });)*
            }

            fn visit_mut(
                &mut self,
                path: &mut $crate::Path,
                f: &mut dyn FnMut(&str, &mut $crate::Param),
            ) {
                $(path.at($crate::module!(@name $field $($name)?), |path| {
                    $crate::Module::visit_mut(&mut self.$field, path, f);
                });)*
            }
        }
    };
    (@name $field:ident $name:literal) => { $name };
    (@name $field:ident) => { stringify!($field) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Device, Spec, Tensor};

    struct Layer {
        weight: Param,
        bias: Option<Param>,
    }
    module!(Layer { weight, bias });

    struct Net {
        layers: Vec<Layer>,
        out: Layer,
    }
    module!(Net { layers as "h", out });

    #[test]
    fn test_module__names_in_field_order() {
        let param = || Param::new(Tensor::zeros(&Device::cpu(), Spec::new([1], DType::F32)));
        let layer = |bias: bool| Layer { weight: param(), bias: bias.then(param) };
        let mut net = Net { layers: vec![layer(true), layer(false)], out: layer(true) };
        let mut names = Vec::new();
        for_each_param(&net, |name, _| names.push(name.to_owned()));
        assert_eq!(names, ["h.0.weight", "h.0.bias", "h.1.weight", "out.weight", "out.bias"]);
        let mut again = Vec::new();
        for_each_param_mut(&mut net, |name, _| again.push(name.to_owned()));
        assert_eq!(names, again);
    }
}
