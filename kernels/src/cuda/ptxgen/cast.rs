//! From f32 to 16 bits.

use super::builder::{Format, Is, Kernel};

pub(super) fn lesson(format: Format) -> String {
    let beyond = match format {
        Format::F16 => {
            "\n\nA number of 65520 or more becomes infinity: loss scaling finds it among the gradients."
        }
        _ => "",
    };
    "\
Rounds f32 to HALF, to nearest, ties to even: what the tensor cores want from numbers that are kept in f32. Rows of width
numbers, x_stride and y_stride elements apart, so that the rows of y can begin at multiples of 16 bytes.

Launch: grid (rows, width / 256 rounded up), 256 threads; a thread has a number. No shared memory, no barrier.

Traffic: 4 bytes read, 2 written.BEYOND"
        .replace("HALF", format.name())
        .replace("BEYOND", beyond)
}

pub(super) fn entry(format: Format) -> String {
    let k = &mut Kernel::new(format, format!("cast_{}", format.name()), 256, 0);
    let [x, y] = ["x", "y"].map(|name| k.pointer(name));
    let [width, x_stride, y_stride] = ["width", "x_stride", "y_stride"].map(|name| k.word(name));
    let thread = k.special("%tid.x");
    let block = k.special("%ctaid.y");
    let column = k.mad(block, 256, thread);
    let row = k.special("%ctaid.x");
    let end = k.label("DONE");
    let outside = k.compare(column, Is::Ge, width);
    k.part_if(outside, end);
    let down = k.distance(row, x_stride, 2);
    let right = k.wide(column, 4);
    let from = k.move_on(x, down);
    let from = k.move_on(from, right);
    let number = k.real_variable(0.0);
    k.load_into(number, from);
    let rounded = k.pack(number, 0.0);
    let down = k.distance(row, y_stride, 1);
    let right = k.wide(column, 2);
    let to = k.move_on(y, down);
    let to = k.move_on(to, right);
    k.store_half(to, rounded);
    k.place(end);
    k.finish()
}
