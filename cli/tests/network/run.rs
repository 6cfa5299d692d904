//! `convmat run` on one set of inputs.

use std::fs;

use image::{ImageBuffer, Luma};
use ndarray::{Array2, Array3, Array4, ArrayD, array};
use ndarray_npy::{ReadNpyExt, WriteNpyExt};
use safetensors::tensor::{Dtype, TensorView};

use super::common::{Folder, Run, decode};
use super::onnx::{self, Element, Length};
use super::saved;

pub fn npy<D: ndarray::Dimension>(folder: &Folder, name: &str, array: &ndarray::Array<f32, D>) -> String {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).expect("it is written");
    saved(folder, name, bytes)
}

pub fn read(path: &str) -> ArrayD<f32> {
    ArrayD::read_npy(fs::File::open(path).expect("the output exists")).expect("it is an array")
}

/// An image whose values are those of an 8-bit file.
fn pixels() -> Array4<f32> {
    Array4::from_shape_fn([1, 1, 5, 7], |(_, _, y, x)| ((x * 31 + y * 17 + 9) % 256) as f32)
}

/// A transposed convolution with kernel 4, stride 2 and padding 1, summed in f64.
fn upsampled(image: &Array4<f32>) -> ArrayD<f64> {
    let (taps, (samples, _, height, width)) = (onnx::weights(16), image.dim());
    let mut large = ArrayD::zeros(&[samples, 1, 2 * height, 2 * width][..]);
    for ((sample, _, y, x), &value) in image.indexed_iter() {
        for (tap, &weight) in taps.iter().enumerate() {
            let (row, column) = ((2 * y + tap / 4).wrapping_sub(1), (2 * x + tap % 4).wrapping_sub(1));
            if row < 2 * height && column < 2 * width {
                large[[sample, 0, row, column]] += f64::from(value) * f64::from(weight);
            }
        }
    }
    large
}

fn near(found: &ArrayD<f32>, want: &ArrayD<f64>) {
    assert_eq!(found.shape(), want.shape());
    for (&found, &want) in found.iter().zip(want) {
        assert!((f64::from(found) - want).abs() < 1e-3, "{found} is not {want}");
    }
}

#[test]
fn inputs_of_every_format_give_the_same_output() {
    let folder = Folder::new();
    let model = saved(&folder, "up.onnx", onnx::upsampler(1));
    let image = pixels();
    let flat = image.iter().copied().collect::<Vec<_>>();
    let bytes: Vec<u8> = flat.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = || TensorView::new(Dtype::F32, vec![1, 1, 5, 7], &bytes).expect("a tensor");
    let other = TensorView::new(Dtype::F32, vec![0], &[]).expect("a tensor");
    let one = safetensors::serialize([("x", view())], None).expect("a file");
    let two = safetensors::serialize([("x", view()), ("y", other.clone())], None).expect("a file");
    // Of several arrays the one that has the input's name is meant.
    let named = safetensors::serialize([("image", view()), ("y", other)], None).expect("a file");
    let doubles = image.mapv(f64::from);
    let mut wide = Vec::new();
    doubles.write_npy(&mut wide).expect("it is written");
    let png = ImageBuffer::from_fn(7, 5, |x, y| Luma([image[[0, 0, y as usize, x as usize]] as u8]));
    let inputs = [
        npy(&folder, "x.npy", &image),
        npy(&folder, "one.npy", &image.to_shape([1, 5, 7]).expect("without batch").to_owned()),
        saved(&folder, "wide.npy", wide),
        saved(&folder, "one.safetensors", one),
        format!("{}:x", saved(&folder, "two.safetensors", two)),
        saved(&folder, "named.safetensors", named),
        folder.save("x.png", png),
    ];
    let want = upsampled(&image);
    let mut first: Option<ArrayD<f32>> = None;
    for (i, input) in inputs.iter().enumerate() {
        for name in ["", "image="] {
            let y = folder.path(&format!("y{i}{}.npy", name.len()));
            let input = format!("{name}{input}");
            Run::of(&["run", &model, "--input", &input, "--output", &y, "--scale", "1"]).succeeds().says("large");
            let found = read(&y);
            near(&found, &want);
            assert_eq!(&found, first.get_or_insert(found.clone()), "{input}");
        }
    }
    // What an archive of this program holds can be read again.
    for ending in ["npz", "safetensors"] {
        let archive = folder.path(&format!("x.{ending}"));
        let same = saved(&folder, "same.onnx", onnx::identity(Length::Open("n"), 1));
        Run::of(&["run", &same, "--input", &inputs[0], "-o", &archive]).succeeds();
        for place in [archive.clone(), format!("{archive}:same")] {
            Run::of(&["run", &model, "--input", &place, "--check", &folder.path("y00.npy"), "--tolerance", "0"])
                .succeeds()
                .says("0 of the largest reference value");
        }
        Run::of(&["run", &model, "--input", &format!("{archive}:z"), "--profile"]).fails(1, "no array `z`, but same");
    }
}

#[test]
fn outputs_of_every_format_hold_the_same() {
    let folder = Folder::new();
    let model = saved(&folder, "same.onnx", onnx::identity(Length::Fixed(1), 3));
    let photo = folder.photo();
    let outputs = ["y.png", "y.npy", "y.npz", "y.safetensors"].map(|name| folder.path(name));
    let mut arguments = vec!["run", &model, "--input", &photo];
    outputs.iter().for_each(|path| arguments.extend(["-o", path]));
    Run::of(&arguments).succeeds().says("same → ").says("all outputs → ");
    assert_eq!(decode(&outputs[0]).into_rgb8(), decode(&photo).into_rgb8());
    for reference in &outputs[1..] {
        Run::of(&["run", &model, "--input", &photo, "--check", reference, "--tolerance", "0"]).succeeds();
    }
    // From −1 to 1 and back, in the other order of axes' own words.
    let back = folder.path("back.png");
    Run::of(&["run", &model, "--input", &photo, "-o", &back, "--mean", "0.5", "--std", "1/2", "--range", "-1,1"])
        .succeeds();
    assert_eq!(decode(&back).into_rgb8(), decode(&photo).into_rgb8());
    let jpeg = folder.path("y.jpg");
    Run::of(&["run", &model, "--input", &photo, "-o", &jpeg]).succeeds();
    assert_eq!(decode(&jpeg).width(), 7);
    Run::of(&["run", &model, "--input", &photo, "-o", &folder.path("y.wav")]).fails(2, "--sample-rate");
}

#[test]
fn sounds_keep_their_rate() {
    let folder = Folder::new();
    let model = saved(&folder, "delay.onnx", onnx::delay());
    let (noise, late, other) = (folder.path("noise.wav"), folder.path("late.wav"), folder.path("other.wav"));
    let spec = |sample_rate| hound::WavSpec {
        channels: 1,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let samples = [3i16, -20_000, 32_767, -32_768, 5];
    let mut writer = hound::WavWriter::create(&noise, spec(22_050)).expect("a file");
    samples.iter().for_each(|&sample| writer.write_sample(sample).expect("a sample"));
    writer.finalize().expect("a file");
    Run::of(&["run", &model, "--input", &noise, "-o", &late]).succeeds().says("[1, 1, 5]");
    Run::of(&["run", &model, "--input", &noise, "-o", &other, "--sample-rate", "8000"]).succeeds();
    for (path, rate) in [(late, 22_050), (other, 8000)] {
        let mut reader = hound::WavReader::open(path).expect("a sound");
        assert_eq!(reader.spec(), spec(rate));
        let found: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample")).collect();
        assert_eq!(found, [0, 3, -20_000, 32_767, -32_768]);
    }
}

#[test]
fn messages_say_what_the_network_expects() {
    let folder = Folder::new();
    let up = &saved(&folder, "up.onnx", onnx::upsampler(1));
    let sum = &saved(&folder, "sum.onnx", onnx::arithmetic(Element::Integer));
    let pair = &saved(&folder, "pair.onnx", onnx::identity(Length::Fixed(2), 1));
    let floats = &npy(&folder, "floats.npy", &Array2::zeros([2, 3]));
    let three = &npy(&folder, "three.npy", &Array4::zeros([3, 1, 2, 2]));
    let wrong = &npy(&folder, "wrong.npy", &Array4::zeros([1, 2, 8, 8]));
    let (sound, y) = (&npy(&folder, "thin.npy", &Array3::zeros([1, 1, 0])), &folder.path("y.npy"));
    let expected = "the network expects image: float [n, 1, h, w]";
    for (arguments, code, complaint) in [
        (&["run", up, "--input", wrong][..], 1, format!("wrong.npy is float [1, 2, 8, 8]; {expected}")),
        (&["run", up, "--input", floats], 1, format!("floats.npy is float [2, 3]; {expected}")),
        (
            &["run", up, "--input", &format!("photo={wrong}")],
            2,
            format!("no input photo; it expects {}", &expected[20..]),
        ),
        (&["run", up, "--input", wrong, "--input", wrong], 2, format!("one --input too many; {expected}")),
        (&["run", sum, "--input", floats], 2, "no --input for b: integer [n, 3]".to_owned()),
        (
            &["run", sum, "--input", floats, "--input", floats],
            1,
            "is float [2, 3]; the network expects a: integer".to_owned(),
        ),
        (&["run", pair, "--input", three], 1, "takes 2 at a time: it expects image: float [2, 1, h, w]".to_owned()),
        (&["run", up, "--input", "missing.npy"], 1, "cannot read missing.npy".to_owned()),
        (&["run", up, "--input", sound], 1, "".to_owned()),
    ] {
        Run::of(&[arguments, &["-o", y]].concat()).fails(code, &complaint);
    }
    Run::of(&["run", up, "--input", wrong, "-o", &format!("small={y}")]).fails(2, "no output small, but large");
    assert!(!folder.names().iter().any(|path| path.ends_with("y.npy")));
}

#[test]
fn several_inputs_and_outputs_go_by_name() {
    let folder = Folder::new();
    let model = saved(&folder, "sum.onnx", onnx::arithmetic(Element::Float));
    let (a, b) = (array![[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]], array![[0.5f32, -1.0, 2.0], [0.0, 1.0, 0.25]]);
    let (sum, product) = (folder.path("sum.npy"), folder.path("product.npy"));
    let [b_named, product_named] = [format!("b={}", npy(&folder, "b.npy", &b)), format!("product={product}")];
    let a_path = npy(&folder, "a.npy", &a);
    Run::of(&["run", &model, "--input", &b_named, "--input", &a_path, "-o", &sum, "-o", &product_named]).succeeds();
    assert_eq!(read(&sum), (&a + &b).into_dyn());
    assert_eq!(read(&product), (&a * &b).into_dyn());
    let archive = folder.path("all.npz");
    Run::of(&["run", &model, "--input", &b_named, "--input", &a_path, "-o", &archive]).succeeds();
    for name in ["sum", "product"] {
        let place = format!("{archive}:{name}");
        Run::of(&["run", &model, "--input", &b_named, "--input", &a_path, "--check", &place, "--tolerance", "0"])
            .succeeds()
            .says(&format!("{name} against "));
    }
}

#[test]
fn checks_pass_and_fail() {
    let folder = Folder::new();
    let model = &saved(&folder, "same.onnx", onnx::identity(Length::Open("n"), 1));
    let x = Array4::from_shape_fn([1, 1, 2, 3], |(_, _, y, x)| (y * 3 + x) as f32 - 4.0);
    let input = &npy(&folder, "x.npy", &x);
    // The largest reference value is 4, so that a difference of 0.25 is 1/16.
    let mut off = x.clone();
    off[[0, 0, 1, 1]] += 0.25;
    let near = &npy(&folder, "near.npy", &off);
    Run::of(&["run", model, "--input", input, "--check", near, "--tolerance", "0.0625"]).succeeds().says(": ok");
    let failing = Run::of(&["run", model, "--input", input, "--check", near, "--tolerance", "0.0624"]);
    failing.fails(1, "1 of 1 checks FAILED").says("largest difference 0.250").says(": FAILED");
    Run::of(&["run", model, "--input", input, "--check", near]).fails(1, "1 of 1 checks FAILED");
    let other = &npy(&folder, "other.npy", &x.to_shape([1, 1, 3, 2]).expect("as many").to_owned());
    Run::of(&["run", model, "--input", input, "--check", other, "--tolerance", "1e6"])
        .fails(1, "1 of 1 checks FAILED")
        .says("[1, 1, 3, 2]: FAILED");
    let nan = &npy(&folder, "nan.npy", &x.mapv(|value| value / 0.0 * 0.0));
    Run::of(&["run", model, "--input", input, "--check", nan]).fails(1, "FAILED");
}

#[test]
fn batches_of_any_size_have_the_same_bits() {
    let folder = Folder::new();
    let model = &saved(&folder, "up.onnx", onnx::upsampler(3));
    let x = Array4::from_shape_fn([11, 3, 6, 5], |(n, c, y, x)| ((n * 7 + c * 5 + y * 3 + x) % 13) as f32 * 0.17);
    let input = &npy(&folder, "x.npy", &x);
    let whole = &folder.path("whole.npy");
    Run::of(&["run", model, "--input", input, "-o", whole]).succeeds().says("11 samples, 8 at a time");
    for options in [&["--batch", "1"][..], &["--batch", "3"], &["--batch", "11", "--threads", "3"], &["--no-fuse"]] {
        Run::of(&[&["run", model, "--input", input, "--check", whole, "--tolerance", "0"], options].concat())
            .succeeds();
    }
    let little = Run::of(&["run", model, "--input", input, "-o", &folder.path("y.npy"), "--memory-limit", "1KiB"]);
    little.fails(1, "needed, 1024 allowed");
}

#[test]
fn outputs_are_replaced_as_a_whole_and_only_if_asked() {
    let folder = Folder::new();
    let model = &saved(&folder, "same.onnx", onnx::identity(Length::Open("n"), 1));
    let input = &npy(&folder, "x.npy", &pixels());
    let y = &saved(&folder, "y.npy", "precious");
    Run::of(&["run", model, "--input", input, "-o", y]).fails(1, "y.npy exists; --force replaces it");
    // A run that fails after it has begun leaves what was there.
    let two = &npy(&folder, "two.npy", &Array4::zeros([2, 1, 4, 4]));
    let picture = &saved(&folder, "y.png", "precious");
    Run::of(&["run", model, "--input", two, "-o", picture, "--force"]).fails(1, "[2, 1, 4, 4], and an image is");
    for path in [y, picture] {
        assert_eq!(fs::read(path).expect("still there"), b"precious");
    }
    Run::of(&["run", model, "--input", input, "-o", y, "--force"]).succeeds();
    assert_eq!(read(y), pixels().into_dyn());
    assert!(!folder.names().iter().any(|path| path.to_string_lossy().contains(".convmat-")));
}

#[test]
fn profiles_have_every_step() {
    let folder = Folder::new();
    let model = &saved(&folder, "sum.onnx", onnx::arithmetic(Element::Float));
    let x = &npy(&folder, "x.npy", &Array2::from_elem([4, 3], 1.5));
    let csv = &folder.path("steps.csv");
    let arguments = ["run", model, "--input", x, "--input", x, "--repeat", "3", "--profile"];
    Run::of(&arguments).succeeds().says("medians of 3 runs").says("of the measured peak");
    Run::of(&[&arguments[..], &[csv]].concat()).succeeds().says("all steps in order");
    let mut reader = csv::Reader::from_path(csv).expect("a table");
    let titles = reader.headers().expect("titles").clone();
    let column = |name: &str| titles.iter().position(|title| title == name).expect("a column");
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    let names: Vec<&str> = rows.iter().map(|row| &row[column("node")]).collect();
    assert_eq!(names, ["sum", "product"]);
    let number = |row: &csv::StringRecord, name| row[column(name)].parse::<f64>().expect("a number");
    assert!((rows.iter().map(|row| number(row, "share")).sum::<f64>() - 1.0).abs() < 1e-9);
    for row in &rows {
        assert!(number(row, "median_ms") > 0.0 && number(row, "output_bytes") == 48.0, "{row:?}");
        assert_eq!(&row[column("output_shape")], "4x3");
    }
    Run::of(&[&arguments[..], &[csv]].concat()).fails(1, "exists; --force replaces it");
    // Both at once.
    let svg = &folder.path("steps.svg");
    Run::of(&[&arguments[..], &[csv, "--profile", svg, "--force"]].concat()).succeeds().says(&format!("→ {svg}"));
    let text = std::fs::read_to_string(svg).expect("a picture");
    let document = roxmltree::Document::parse(&text).expect("XML");
    let steps = document.descendants().filter(|node| node.attribute("class") == Some("step"));
    let titles: Vec<&str> = steps.filter_map(|step| step.first_element_child()?.text()).collect();
    assert_eq!(titles.len(), 2);
    assert!(titles[0].starts_with("sum\nAdd\n") && titles[1].contains("of the peak"), "{titles:?}");
    assert!(text.contains("medians of 3 runs"));
}
