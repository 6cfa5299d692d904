use super::*;
use crate::geometry::{Channels, Geometry};

fn transposed(o: Options<1>, small: usize, kernel: usize) -> (usize, isize) {
    let axis = o.transposed_axis(0, small, kernel).unwrap();
    assert_eq!(axis.small(), small);
    (axis.large(), axis.begin())
}

fn convolution(o: Options<1>, large: usize, kernel: usize) -> (usize, isize) {
    let axis = o.convolution_axis(0, large, kernel).unwrap();
    assert_eq!(axis.large(), large);
    (axis.small(), axis.begin())
}

#[test]
fn convolution_lengths_follow_pytorch() {
    let o = Options::<1>::new();
    assert_eq!(convolution(o, 5, 3), (3, 0));
    assert_eq!(convolution(o.stride([2]).padding([1]), 5, 3), (3, 1));
    assert_eq!(convolution(o.stride([2]).padding([1]), 6, 3), (3, 1));
    assert_eq!(convolution(o.dilation([3]), 7, 3), (1, 0));
    assert_eq!(convolution(o.padding([(0, 2)]), 5, 3), (5, 0));
    assert_eq!(convolution(o.padding([7]), 1, 2), (14, 7));
    assert_eq!(convolution(o.padding(Padding::Valid), 5, 5), (1, 0));
    assert_eq!(
        o.dilation([9]).padding([(2, 1)]).convolution_axis(0, 6, 3),
        Err(Error::EmptyOutput { axis: 0, input: 6, padding: 3, extent: 19 })
    );
    assert_eq!(
        o.dilation([3]).convolution_axis(0, 6, 3),
        Err(Error::EmptyOutput { axis: 0, input: 6, padding: 0, extent: 7 })
    );
}

#[test]
fn same_keeps_the_length_and_puts_the_odd_zero_where_its_name_says() {
    let o = Options::<1>::new();
    assert_eq!(convolution(o.padding(Padding::Same), 5, 4), (5, 1));
    assert_eq!(convolution(o.padding(Padding::Same), 5, 6), (5, 2));
    assert_eq!(convolution(o.padding(Padding::Same).dilation([3]), 5, 2), (5, 1));
    assert_eq!(transposed(o.padding(Padding::Same), 5, 4), (5, 1));
    assert_eq!(convolution(o.padding(Padding::SameUpper), 5, 4), (5, 1));
    assert_eq!(convolution(o.padding(Padding::SameLower), 5, 4), (5, 2));
    assert_eq!(convolution(o.padding(Padding::SameUpper).stride([2]), 5, 4), (3, 1));
    assert_eq!(convolution(o.padding(Padding::SameLower).stride([2]), 5, 4), (3, 2));
    // A stride beyond the extent: no negative padding.
    assert_eq!(convolution(o.padding(Padding::SameLower).stride([4]), 6, 1), (2, 0));
    assert_eq!(transposed(o.padding(Padding::SameUpper).stride([2]), 3, 3), (6, 0));
    assert_eq!(transposed(o.padding(Padding::SameLower).stride([2]), 3, 3), (6, 1));
    assert_eq!(transposed(o.padding(Padding::SameUpper).stride([2]).output_padding([1]), 3, 3), (6, 1));
    assert_eq!(transposed(o.padding(Padding::SameUpper).stride([4]), 3, 2), (12, 0));
    let strided = o.padding(Padding::Same).stride([2]);
    assert_eq!(strided.convolution_axis(0, 5, 3), Err(Error::SameNeedsUnitStride { axis: 0, stride: 2 }));
    assert!(strided.transposed_axis(0, 5, 3).is_err());
}

#[test]
fn transposed_lengths_follow_pytorch_and_onnx() {
    let o = Options::<1>::new().stride([3]).padding([2]);
    assert_eq!(transposed(o, 6, 5), (16, 2));
    assert_eq!(transposed(o.output_padding([2]), 6, 5), (18, 2));
    assert_eq!(transposed(o.output_size([18]), 6, 5), (18, 2));
    assert_eq!(transposed(o.output_size([16]), 6, 5), (16, 2));
    let size = |size| o.output_size([size]).transposed_axis(0, 6, 5);
    assert_eq!(size(19), Err(Error::OutputSize { axis: 0, size: 19, min: 16, max: 18 }));
    assert_eq!(size(15), Err(Error::OutputSize { axis: 0, size: 15, min: 16, max: 18 }));
    // output_shape: the explicit pads are forgotten; the odd element goes to the start.
    let shape = |size| o.output_size(OutputSize::Shape([size]));
    assert_eq!(transposed(shape(20), 6, 5), (20, 0));
    assert_eq!(transposed(shape(17), 6, 5), (17, 2));
    assert_eq!(transposed(shape(17).padding(Padding::SameUpper), 6, 5), (17, 1));
    assert_eq!(transposed(shape(17).output_padding([2]), 6, 5), (17, 3));
    assert_eq!(transposed(shape(40), 6, 5), (40, 0));
    assert_eq!(shape(0).transposed_axis(0, 6, 5), Err(Error::Zero { what: "output size", axis: 0 }));
    // Below the dilation, though not below the stride.
    assert_eq!(transposed(Options::new().dilation([3]).output_padding([2]), 2, 2), (7, 0));
    assert_eq!(
        o.output_padding([3]).transposed_axis(0, 6, 5),
        Err(Error::OutputPadding { axis: 0, output_padding: 3, limit: 3 })
    );
    assert_eq!(
        Options::<1>::new().padding([3]).transposed_axis(0, 4, 3),
        Err(Error::EmptyOutput { axis: 0, input: 4, padding: 6, extent: 3 })
    );
}

#[test]
fn output_padding_brings_every_length_back() {
    for (stride, dilation, padding, kernel) in
        [(1, 1, 0, 1), (2, 1, 1, 3), (3, 2, 2, 3), (5, 1, 0, 2), (4, 3, 6, 2), (2, 3, 1, 2)]
    {
        let o = Options::<1>::new().stride([stride]).dilation([dilation]).padding([padding]);
        for large in 1..30 {
            let Ok(axis) = o.convolution_axis(0, large, kernel) else { continue };
            let extra = o.output_padding_to_restore([large], [kernel]).unwrap();
            assert_eq!(transposed(o.output_padding(extra), axis.small(), kernel), (large, padding as isize));
        }
    }
    assert!(Options::<1>::new().padding(Padding::SameLower).output_padding_to_restore([4], [3]).is_err());
    assert_eq!(Options::<1>::new().padding(Padding::Same).output_padding_to_restore([4], [3]), Ok([0]));
    assert_eq!(Options::<1>::new().padding(Padding::Valid).stride([2]).output_padding_to_restore([4], [3]), Ok([1]));
}

#[test]
fn impossible_options_are_refused_with_their_numbers() {
    let o = Options::<1>::new();
    for (what, options, length, kernel) in
        [("stride", o.stride([0]), 3, 1), ("dilation", o.dilation([0]), 3, 1), ("kernel", o, 3, 0), ("input", o, 0, 1)]
    {
        assert_eq!(options.convolution_axis(0, length, kernel), Err(Error::Zero { what, axis: 0 }));
        assert_eq!(options.transposed_axis(0, length, kernel), Err(Error::Zero { what, axis: 0 }));
    }
    assert!(o.stride([2]).output_padding([1]).convolution_axis(0, 3, 1).is_err());
    assert!(o.output_size([3]).convolution_axis(0, 3, 1).is_err());
    for huge in [usize::MAX, usize::MAX / 2, isize::MAX as usize] {
        assert!(matches!(o.padding([huge]).convolution_axis(0, 3, 1), Err(Error::Overflow { .. })));
        assert!(o.padding([huge]).transposed_axis(0, 3, 1).is_err());
        assert!(matches!(o.stride([huge]).transposed_axis(0, 3, 1), Err(Error::Overflow { .. })));
        assert!(matches!(o.dilation([huge]).transposed_axis(0, 3, 4), Err(Error::Overflow { .. })));
        assert!(o.dilation([huge]).convolution_axis(0, 3, 4).is_err());
        assert!(matches!(o.convolution_axis(0, huge, 1), Err(Error::Overflow { .. })));
        assert!(o.output_size(OutputSize::Shape([huge])).transposed_axis(0, 3, 1).is_err());
    }
}

#[test]
fn pads_are_what_the_geometry_reads_beyond_the_input() {
    for padding in [Padding::Explicit([(3, 1)]), Padding::Valid, Padding::Same, Padding::SameUpper, Padding::SameLower]
    {
        for (stride, dilation, kernel, large) in [(1, 1, 4, 9), (1, 3, 2, 5), (2, 1, 4, 5), (3, 2, 3, 10), (4, 1, 2, 6)]
        {
            let o = Options::<1>::new().stride([stride]).dilation([dilation]).padding(padding);
            let Ok(axis) = o.convolution_axis(0, large, kernel) else { continue };
            let (begin, end) = o.pads(0, &axis).unwrap();
            assert_eq!(begin as isize, axis.begin());
            // The last kernel position ends within a stride of the padded end; "same" leaves nothing over.
            let read = (axis.small() - 1) * stride + axis.extent();
            let padded = begin + large + end;
            assert!(read <= padded && padded < read + stride, "{padding:?} {axis:?}: {read} of {padded}");
            if matches!(padding, Padding::SameUpper | Padding::SameLower) && read >= large {
                assert_eq!(read, padded, "{padding:?} {axis:?}");
                let odd_at_end = usize::from(padding == Padding::SameUpper) * ((begin + end) % 2);
                assert_eq!(end.saturating_sub(begin), odd_at_end, "{padding:?} {axis:?}");
            }
        }
    }
}

#[test]
fn one_number_stands_for_every_axis() {
    let each = Options::<3>::new().stride([2; 3]).dilation([3; 3]).padding([1; 3]).output_padding([1; 3]);
    assert_eq!(Options::new().stride(2).dilation(3).padding(1).output_padding(1), each);
    // The number of axes follows from any array, or from nothing but the type.
    assert_eq!(Options::new().stride(2).padding([1, 4]).padding, Padding::Explicit([(1, 1), (4, 4)]));
    assert_eq!(Options::new().padding([(1, 4)]).stride(7).stride, [7]);
    assert_eq!(Options::<2>::new().output_size([5, 6]).output_size, OutputSize::Size([5, 6]));
    let channels = Channels { small: 1, large: 1 };
    let o = Options::new().stride(2).padding([1, 0]);
    assert_eq!(
        Geometry::convolution([9, 7], 3, channels, &o),
        Geometry::convolution([9, 7], [3, 3], channels, &o.stride([2, 2]))
    );
}
