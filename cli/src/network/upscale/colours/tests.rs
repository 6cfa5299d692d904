use ndarray::{Array, Array4, array, s};

use super::*;

/// A value of 8 bits without symmetry.
fn value(channel: usize, y: usize, x: usize) -> f32 {
    ((channel * 83 + y * 41 + x * 29 + x * x * 7) % 256) as f32
}

fn picture(channels: usize) -> (Array3<f32>, Format) {
    let planes = Array3::from_shape_fn([channels, 3, 4], |(channel, y, x)| value(channel, y, x));
    (planes, Format::of_channels(3, 4, channels).unwrap())
}

/// Every pixel and ¼ more of its left neighbour than of itself, cyclic: linear, and 0 and 1 stay.
fn mixed<D: ndarray::RemoveAxis>(planes: &Array<f32, D>) -> Array<f32, D> {
    let last = Axis(planes.ndim() - 1);
    let length = planes.len_of(last);
    let mut large = planes.clone();
    for x in 0..length {
        let (own, left) = (planes.index_axis(last, x), planes.index_axis(last, (x + length - 1) % length));
        large.index_axis_mut(last, x).assign(&(&own * 1.25 - &left * 0.25));
    }
    large
}

fn enlarged(channels: Channels, network: &dyn Fn(Array4<f32>) -> Array4<f32>, of: usize) -> Array3<f32> {
    let (planes, format) = picture(of);
    let network = |planes: Array4<f32>| {
        assert_eq!(planes.dim(), (1, channels.count(), 3, 4));
        Ok(network(planes))
    };
    let chroma = |planes: ArrayView5<f32>| Ok(mixed(&planes.to_owned()));
    Means { channels, network: &network, chroma: &chroma }.enlarge(planes.view(), format).unwrap()
}

fn near(found: &Array3<f32>, want: &Array3<f64>) {
    assert_eq!(found.dim(), want.dim());
    for (at, &want) in want.indexed_iter() {
        assert!((f64::from(found[at]) - want).abs() < 1e-3, "{at:?}: {} is not {want}", found[at]);
    }
}

#[test]
fn networks_of_three_channels_see_colours() {
    let inverted = |planes: Array4<f32>| 1.0 - planes;
    near(&enlarged(Channels::Rgb, &inverted, 3), &picture(3).0.mapv(|value| 255.0 - f64::from(value)));
    // Grey is three equal channels; of three that come out, luma is taken.
    let coloured = |mut planes: Array4<f32>| {
        planes.slice_mut(s![0, 1, .., ..]).fill(1.0);
        planes
    };
    let want = picture(1).0.mapv(|value| 0.413 * f64::from(value) + 0.587 * 255.0);
    near(&enlarged(Channels::Rgb, &coloured, 1), &want);
}

#[test]
fn networks_of_one_channel_see_luma() {
    // What is made of luma counts for all channels; chroma goes its own way.
    let halved = |planes: Array4<f32>| planes * 0.5;
    let rgb = picture(3).0.mapv(f64::from);
    let luma = |x: usize, y: usize| 0.299 * rgb[[0, y, x]] + 0.587 * rgb[[1, y, x]] + 0.114 * rgb[[2, y, x]];
    let want = Array3::from_shape_fn([3, 3, 4], |(channel, y, x)| {
        // The difference to luma is linear in Cb and Cr, so that what mixes these mixes it.
        let difference = |x: usize| rgb[[channel, y, x]] - luma(x, y);
        0.5 * luma(x, y) + 1.25 * difference(x) - 0.25 * difference((x + 3) % 4)
    });
    near(&enlarged(Channels::Luma, &halved, 3), &want);
    near(&enlarged(Channels::Luma, &halved, 1), &picture(1).0.mapv(|value| f64::from(value) / 2.0));
}

#[test]
fn alpha_weighs_colours_as_a_product_does() {
    for of in [2, 4] {
        let (mut planes, format) = picture(of);
        // Opaque, nearly so, half and not at all.
        planes.index_axis_mut(Axis(0), of - 1).assign(&array![
            [255.0, 255.0, 255.0, 0.0],
            [254.0, 255.0, 128.0, 0.0],
            [0.0; 4]
        ]);
        let product = |planes: ArrayView5<f32>| Ok::<_, ()>(mixed(&planes.to_owned()));
        let stacked = planes.view().insert_axis(Axis(1)).insert_axis(Axis(0));
        let want = alpha::resample(stacked, format, product).unwrap().index_axis_move(Axis(2), 0);
        let want = want.index_axis_move(Axis(0), 0).mapv(f64::from);
        for channels in [Channels::Rgb, Channels::Luma] {
            let network = |planes: Array4<f32>| Ok(mixed(&planes));
            let chroma = |planes: ArrayView5<f32>| Ok(mixed(&planes.to_owned()));
            let means = Means { channels, network: &network, chroma: &chroma };
            near(&means.enlarge(planes.view(), format).unwrap(), &want);
        }
    }
}

#[test]
fn opaque_parts_do_not_feel_alpha() {
    // A network that keeps neither black nor white.
    let network = |planes: Array4<f32>| Ok(planes.mapv(|value| 0.1 + 0.7 * value * value));
    let chroma = |planes: ArrayView5<f32>| Ok(planes.to_owned());
    let means = Means { channels: Channels::Rgb, network: &network, chroma: &chroma };
    let (colours, format) = picture(3);
    let plain = means.enlarge(colours.view(), format).unwrap();
    let (mut planes, format) = picture(4);
    let mut opacity = planes.index_axis_mut(Axis(0), 3);
    opacity.fill(255.0);
    let opaque = means.enlarge(planes.view(), format).unwrap();
    assert_eq!(opaque.slice(s![..3, .., ..]), plain);
    assert!(opaque.index_axis(Axis(0), 3).iter().all(|&alpha| alpha == 255.0));
    planes[[3, 1, 2]] = 7.0;
    let mut holed = means.enlarge(planes.view(), format).unwrap();
    assert!(holed[[3, 1, 2]] < 255.0);
    holed.slice_mut(s![.., 1, 2]).assign(&opaque.slice(s![.., 1, 2]));
    assert_eq!(holed, opaque);
}
