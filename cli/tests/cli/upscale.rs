//! `convmat upscale` for one image: values and reports.

use image::{ImageBuffer, Luma, Rgb};

use super::common::{Folder, Run, channels, decode};

#[test]
fn upscale_writes_beside_the_input_and_reports() {
    let folder = Folder::new();
    let input = folder.photo();
    Run::of(&["upscale", &input])
        .succeeds()
        .says("photo-2x.png: 14×10 RGB, 8 bits per channel")
        .says("bicubic (a = -0.75)")
        .says("nonzeros")
        .says("planned (chosen by auto)")
        .says("megapixels/s");
    assert_eq!(folder.names().len(), 2);
    // Interior pixels by hand: PyTorch's cubic at ¼ and ¾ is a separable product of these four taps.
    let taps = [-0.03515625, 0.26171875, 0.87890625, -0.10546875];
    let result = decode(folder.path("photo-2x.png")).to_rgb8();
    // Output (6, 4) lies at (2.75, 1.75): columns 1…4 and rows 0…3 with the taps in this order.
    let expected: f64 = (0..4)
        .flat_map(|i| (0..4).map(move |j| (i, j)))
        .map(|(i, j)| taps[i] * taps[j] * f64::from(channels(1 + j as u32, i as u32)[0]))
        .sum();
    assert_eq!(f64::from(result.get_pixel(6, 4)[0]), expected.round());
}

#[test]
fn verify_passes_for_every_kernel_and_scale() {
    let folder = Folder::new();
    let input = folder.photo();
    for kernel in ["nearest", "bilinear", "bicubic"] {
        for scale in ["2", "3", "4"] {
            let run =
                Run::of(&["upscale", &input, "--kernel", kernel, "--scale", scale, "--verify", "--force"]).succeeds();
            let passed = run.out.lines().filter(|line| line.contains(" ok ")).count();
            assert_eq!(passed, 7, "{}", run.out);
        }
    }
    Run::of(&["upscale", &input, "--bicubic-a", "-0.5", "--verify", "--force"]).succeeds().says("a = -0.5");
}

#[test]
fn explicit_matrices_over_the_limit_are_checked_on_a_window() {
    let folder = Folder::new();
    let input = folder.save("wide.png", ImageBuffer::from_fn(40, 30, |x, y| Rgb(channels(x, y).map(|c| c as u8))));
    Run::of(&["upscale", &input, "--verify", "--memory-limit", "20MiB"])
        .succeeds()
        .says("dense: 376.6 MiB > 20 MiB, checked on a 12×12 window");
    // The limit is every formulation's; the direct sums hold nothing.
    Run::of(&["upscale", &input, "--verify", "--formulation", "gather", "--memory-limit", "1KiB", "--force"])
        .succeeds()
        .says("sparse: ")
        .says(" > 1 KiB, and no window is small enough: not checked");
}

#[test]
fn a_chosen_explicit_matrix_over_the_limit_names_the_alternative() {
    let folder = Folder::new();
    let input = folder.photo();
    for formulation in ["dense", "sparse"] {
        Run::of(&["upscale", &input, "--formulation", formulation, "--memory-limit", "4096"]).fails(1, "> 4 KiB; use ");
    }
    assert_eq!(folder.names().len(), 1);
    Run::of(&["upscale", &input, "--formulation", "sparse"]).succeeds().says("formulation   sparse\n");
}

#[test]
fn psnr_against_a_reference() {
    let folder = Folder::new();
    let input = folder.save("tile.png", ImageBuffer::from_fn(12, 12, |x, y| Luma([(9 * x + 5 * y) as u8])));
    let output = folder.path("tile-2x.png");
    Run::of(&["upscale", &input]).succeeds();
    let other = folder.path("other.png");
    Run::of(&["upscale", &input, "-o", &other, "--reference", &output]).succeeds().says("∞ dB (identical)");
    // One of 24×24 pixels off by 16 in a corner: 10·log₁₀(255²·576/256) dB, and nothing inside.
    let mut changed = decode(&output).to_luma8();
    changed.get_pixel_mut(0, 0)[0] += 16;
    let changed = folder.save("changed.png", changed);
    Run::of(&["upscale", &input, "-o", &other, "--force", "--reference", &changed])
        .succeeds()
        .says("51.65 dB whole image, ∞ dB (identical) without 8 pixels at every border (all channels, peak 255)");
    Run::of(&["upscale", &input, "-o", &other, "--force", "--reference", &input])
        .fails(1, "is 12×12 grey, 8 bits per channel; the result is 24×24 grey, 8 bits per channel");
}

#[test]
fn accuracy_is_told_and_belongs_to_plans() {
    let folder = Folder::new();
    let input = folder.photo();
    let strict = folder.path("strict.png");
    Run::of(&["upscale", &input, "-o", &strict])
        .succeeds()
        .says("accuracy      strict; --accuracy fast is estimated to ");
    let fast = folder.path("fast.png");
    Run::of(&["upscale", &input, "-o", &fast, "--accuracy", "fast", "--verify"])
        .succeeds()
        .says("formulation   filtered\n")
        .says("accuracy      fast, estimated to ");
    let [strict, fast] = [strict, fast].map(|path| decode(path).to_rgb8());
    assert!(strict.iter().zip(fast.iter()).all(|(a, b)| a.abs_diff(*b) <= 1));
    Run::of(&["upscale", &input, "--accuracy", "fast", "--formulation", "sparse", "--force"])
        .fails(2, "--accuracy fast is for what is planned, and sparse is not");
    let explicit = Run::of(&["upscale", &input, "--formulation", "gather", "--force"]).succeeds();
    assert!(!explicit.out.contains("accuracy"), "{}", explicit.out);
}
