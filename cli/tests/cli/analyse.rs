//! `convmat analyse`.

use std::fs;

use serde_json::Value;

use super::common::{Folder, Run, decode};

fn analyse(arguments: &str) -> Run {
    Run::of(&["analyse"].into_iter().chain(arguments.split(' ')).collect::<Vec<_>>())
}

/// The report and its numbers.
fn numbers(arguments: &str) -> (String, Value) {
    let folder = Folder::new();
    let json = folder.path("numbers.json");
    let run = analyse(&format!("{arguments} --json {json}")).succeeds();
    (run.out, serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap())
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn singular_values_of_a_matrix_known_by_hand() {
    // Sums of two neighbours of 3: CᵀC = [1 1 0; 1 2 1; 0 1 1] has eigenvalues 3, 1, 0.
    let (out, found) = numbers("--input 3 --kernel 2 --kernel-values 1,1");
    let near = |a: Vec<f64>, b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-14);
    assert!(near(list(&found["singular_values"]), &[3f64.sqrt(), 1.0]));
    assert!(near(list(&found["spectrum"]["values"]), &[3f64.sqrt(), 1.0]));
    assert!(near(list(&found["circular"]), &[2.0, 1.0, 1.0]));
    assert_eq!((&found["spectrum"]["rank"], &found["spectrum"]["nullity"]), (&2.into(), &1.into()));
    assert!((found["spectrum"]["condition"].as_f64().unwrap() - 3f64.sqrt()).abs() < 1e-14);
    let norm = &found["norm"];
    assert!(norm["upper"].as_f64().unwrap() >= 2.0 && norm["upper"].as_f64().unwrap() < 2.01);
    assert_eq!(found["orthogonality"]["is_inverse"], false);
    for line in
        ["σ1            1.7320508075688", "rank          2 of 2", "dimension 1 of C, 0 of Cᵀ", "Cᵀ = C⁻¹      no"]
    {
        assert!(out.contains(line), "{out} lacks {line}");
    }
}

#[test]
fn the_geometry_alone() {
    let (out, found) = numbers("--transposed --input 4 --kernel 3 --stride 2");
    assert_eq!(found["overlap_per_axis"][2], serde_json::json!([1, 1, 2, 1, 2, 1, 2, 1, 1]));
    assert_eq!(found["overlap_classes"][2], serde_json::json!([2, 1]));
    assert!((found["overlap_variation"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-15);
    assert_eq!(found["footprint"], serde_json::json!({"index": [0, 0, 2], "positions": [[0], [0], [4, 5, 6]]}));
    assert_eq!(found["receptive_field"], serde_json::json!({"index": [0, 0, 4], "positions": [[0], [0], [1, 2]]}));
    assert!(found.get("singular_values").is_none());
    for line in [
        "layer         transposed convolution x = Cᵀ·y: 1×4 → 1×9",
        "overlap       1 to 2 taps",
        "checkerboard  0.6667 by counts",
        "remedy        axis 0: a kernel that the stride divides, 2 or 4",
        "this evens the counts, not the gains",
        "footprint     input [2] reaches outputs 4..7, 3 of them",
        "field         output [4] reads inputs 1..3, 2 of them",
        "no weights are given",
    ] {
        assert!(out.contains(line), "{out} lacks {line}");
    }
    analyse("--transposed --input 4 --kernel 4 --stride 2 --dilation 2").succeeds().says("now 2: 2 − 1 of 2 classes");
}

#[test]
fn gains_differ_where_counts_do_not() {
    let (out, found) = numbers("--transposed --input 5 --kernel 4 --stride 2 --kernel-values 1,2,1,4");
    assert_eq!((&found["overlap_variation"], list(&found["phase_gains"])), (&0.0.into(), vec![2.0, 6.0]));
    assert_eq!(found["gain_variation"], serde_json::json!({"largest": 1.0, "pair": [0, 0]}));
    assert!(
        out.contains("1.0000 by gains") && out.contains("the counts are even; gains are up to the weights"),
        "{out}"
    );
}

#[test]
fn an_orthogonal_layer_is_its_own_inverse() {
    let r = "0.7071067811865476";
    let weights = format!("--input 8 --kernel 2 --stride 2 --out-channels 2 --kernel-values {r},{r},{r},-{r}");
    let (out, found) = numbers(&weights);
    assert_eq!(found["orthogonality"]["is_inverse"], true);
    assert!(list(&found["spectrum"]["values"]).iter().all(|v| (v - 1.0).abs() < 1e-14));
    assert!(out.contains("Cᵀ = C⁻¹      yes"), "{out}");
}

/// Singular values of the 4 × 6 matrix whose rows are 1, 2, 3 moved on by one: the eigenvalues of the 4 × 4 Toeplitz matrix of
/// 14, 8, 3, 0 from the middle outwards. Symmetric and antisymmetric vectors take it apart into 2 × 2.
fn known() -> [f64; 4] {
    let of = |[a, b, d]: [f64; 3]| {
        let (middle, half) = (0.5 * (a + d), (0.25 * (a - d) * (a - d) + b * b).sqrt());
        [(middle + half).sqrt(), (middle - half).sqrt()]
    };
    // (e₁ ± e₄)/√2 and (e₂ ± e₃)/√2: [14 ± 0, 8 ± 3; 8 ± 3, 14 ± 8].
    let mut values = [of([14.0, 11.0, 22.0]), of([14.0, 5.0, 6.0])].concat();
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    values.try_into().unwrap()
}

#[test]
fn the_unit_of_the_weights_changes_no_digit() {
    let want = known();
    let condition = want[0] / want[3];
    assert!((condition - 2.8738).abs() < 5e-5, "{condition}");
    for unit in ["e-170", "e-307", "e0", "e154", "e170", "e306"] {
        let (out, found) = numbers(&format!("--input 6 --kernel 3 --kernel-values 1{unit},2{unit},3{unit}"));
        let scale: f64 = format!("1{unit}").parse().unwrap();
        let near = |value: f64, want: f64| (value / scale / want - 1.0).abs() < 1e-14;
        assert!(list(&found["spectrum"]["values"]).into_iter().zip(want).all(|(a, b)| near(a, b)), "{out}");
        assert!(near(list(&found["singular_values"])[0], want[0]), "{out}");
        assert!((found["spectrum"]["condition"].as_f64().unwrap() / condition - 1.0).abs() < 1e-14, "{out}");
        assert!(near(found["norm"]["lower"].as_f64().unwrap(), want[0]));
        let digits = format!("σ₁/σ_rank = {condition:.14}");
        assert!(out.contains(&digits[..digits.len() - 3]) && out.contains("4 of 4"), "{out}");
        assert!(out.contains(&format!("gains         6.0000{}", if unit == "e0" { "" } else { unit })), "{out}");
        let longest = out.split_whitespace().map(str::len).max().unwrap();
        assert!(longest < 40, "a number of {longest} characters: {out}");
    }
    // The smallest weights there are: multiples of 2⁻¹⁰⁷⁴, which the singular values are rounded to.
    let (out, found) = numbers("--input 6 --kernel 3 --kernel-values 5e-324,1e-323,1.5e-323");
    let whole = want.map(|value| value.round() * 5e-324);
    assert_eq!(list(&found["spectrum"]["values"]), whole);
    assert!((found["spectrum"]["condition"].as_f64().unwrap() / condition - 1.0).abs() < 1e-14, "{out}");
    let (_, found) = numbers("--input 6 --kernel 1 --kernel-values 5e-324");
    assert_eq!((&found["spectrum"]["rank"], &found["spectrum"]["condition"]), (&6.into(), &1.0.into()));
}

#[test]
fn repeated_values_and_both_directions() {
    let group = "0.5,-0.25,0.75";
    let (_, forward) =
        numbers(&format!("--input 9 --kernel 3 --groups 2 --kernel-values {group},{group} --singular-values 4"));
    let values = list(&forward["singular_values"]);
    assert!((values[0] - values[1]).abs() < 1e-12 && (values[2] - values[3]).abs() < 1e-12 && values[1] > values[2]);
    let (_, turned) = numbers(&format!(
        "--transposed --input 7 --kernel 3 --groups 2 --kernel-values {group},{group} --singular-values 4"
    ));
    for key in ["singular_values", "spectrum", "circular", "norm", "orthogonality"] {
        // The null spaces of C and Cᵀ are those of the same C.
        assert_eq!(forward[key], turned[key], "{key}");
    }
}

#[test]
fn what_is_left_out_is_said() {
    analyse("--input 30x30 --kernel 3 --seed 1 --memory-limit 4KiB").succeeds().says("left out").says("> 4 KiB");
    analyse("--input 7 --kernel 3 --stride 2 --seed 1").succeeds().says("a stride that does not divide the length");
    analyse("--input 8 --kernel 3 --kernel-values 0,0,0").succeeds().says("none: the matrix is zero");
}

fn photo(folder: &Folder) -> String {
    let pixel = |x: u32, y: u32| {
        let wave = 60.0 * ((f64::from(x) / 3.0).sin() + (f64::from(y) / 4.0).cos());
        image::Luma([(100.0 + wave + if x > 25 { 30.0 } else { 0.0 }) as u8])
    };
    folder.save("photo.png", image::ImageBuffer::from_fn(60, 48, pixel))
}

#[test]
fn a_photo_is_blurred_and_restored() {
    let folder = Folder::new();
    let photo = photo(&folder);
    let [out, json, noise] = ["out.png", "numbers.json", "noise.npy"].map(|name| folder.path(name));
    let arguments =
        format!("--deconvolve {photo} -o {out} --blur gaussian:1 --excess 3 --json {json} --export-noise {noise}");
    let run = analyse(&arguments).succeeds().says("54×42").says("dB");
    let found: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let panels = decode(&out).to_luma8();
    assert_eq!(panels.dimensions(), (4 * 54, 42));
    // PSNR of each panel against the last, from the file.
    for (i, key) in ["blurred", "adjoint", "least_squares"].into_iter().enumerate() {
        let pixel = |panel: usize, x: u32, y: u32| f64::from(panels.get_pixel(panel as u32 * 54 + x, y).0[0]);
        let squares: f64 = (0..42)
            .flat_map(|y| (0..54).map(move |x| (x, y)))
            .map(|(x, y)| (pixel(i, x, y) - pixel(3, x, y)).powi(2))
            .sum();
        let psnr = 10.0 * (255.0f64.powi(2) * 54.0 * 42.0 / squares).log10();
        assert!((found["psnr"][key].as_f64().unwrap() - psnr).abs() < 1e-9, "{key}: {psnr} {}", run.out);
    }
    let [adjoint, restored] = ["adjoint", "least_squares"].map(|key| found["psnr"][key].as_f64().unwrap());
    assert!(restored > adjoint, "{}", run.out);
    // The original is the inside of the photo, and the noise has its deviation.
    let original = decode(&photo).to_luma8();
    assert!((0..54).all(|x| panels.get_pixel(3 * 54 + x, 10) == original.get_pixel(x + 3, 13)));
    assert_eq!(found["frame"], serde_json::json!([1, 42, 54]));
    let bytes = fs::read(&noise).unwrap();
    let values: Vec<f64> =
        bytes[bytes.len() - 8 * 54 * 42..].chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    assert!((found["noise"]["norm"].as_f64().unwrap() / norm - 1.0).abs() < 1e-12);
    // Nothing is replaced by accident.
    analyse(&arguments).fails(1, "exists; --force replaces it");
    analyse(&format!("{arguments} --force")).succeeds();
}

#[test]
fn bad_input_is_one_line() {
    let folder = Folder::new();
    let photo = photo(&folder);
    let [out, json] = ["out.png", "numbers.json"].map(|name| folder.path(name));
    let usage = [
        ("--kernel 3".to_owned(), "--input"),
        ("--input 5".to_owned(), "--kernel"),
        ("--input 5 --kernel 3 --kernel-values 1,2".to_owned(), "gives 2 numbers, but the layer has 3"),
        ("--input 5 --kernel 3 --kernel-values 1,nan,2".to_owned(), "number 1 is NaN"),
        ("--input 5 --kernel 3 --noise 2".to_owned(), "--deconvolve"),
        (format!("--deconvolve {photo}"), "--output"),
        (format!("--deconvolve {photo} -o {out} --input 5"), "cannot be used with"),
        (format!("--deconvolve {photo} -o {out} --blur lens:3"), "expected gaussian:DEVIATION"),
        (format!("--deconvolve {photo} -o {out} --noise -1"), "from 0.001 to 255"),
        (format!("--deconvolve {photo} -o {json}"), "does not end in .png"),
    ];
    for (arguments, complaint) in usage {
        analyse(&arguments).fails(2, complaint);
    }
    let failures = [
        ("--input 3 --kernel 5 --seed 1".to_owned(), "the output is empty"),
        ("--input 5 --weights missing.npy".to_owned(), "cannot read missing.npy"),
        ("--input 999999999 --kernel 3".to_owned(), "too long to analyse"),
        ("--input 9 --kernel 3 --seed 1 --norm-samples 99999999999".to_owned(), "left out"),
        (format!("--input 5 --kernel 3 --seed 1 --json {}", folder.path("no/folder.json")), "cannot write"),
        (format!("--deconvolve missing.png -o {out}"), "cannot read missing.png"),
        (format!("--deconvolve {photo} -o {out} --blur box:49"), "the output is empty"),
        (format!("--deconvolve {photo} -o {out} --blur motion:60"), "is too much"),
    ];
    for (arguments, complaint) in failures {
        if complaint == "left out" {
            analyse(&arguments).succeeds().says("the bound from above is left out");
        } else {
            analyse(&arguments).fails(1, complaint);
        }
    }
    assert_eq!(folder.names().len(), 1, "only the photo is there");
}
