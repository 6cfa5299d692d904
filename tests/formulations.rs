use convmat::{geometry::Side, *};
use ndarray::Array5;

#[test]
fn smoke() {
    let mut state = 1u64;
    let mut next = move |n: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % n
    };
    let mut done = 0;
    for _ in 0..3000 {
        let groups = 1 + next(3) as usize;
        let channels = Channels { small: groups * (1 + next(5) as usize), large: groups * (1 + next(5) as usize) };
        let mut r = |lo: u64, hi: u64| [0; 2].map(|_: usize| (lo + next(hi - lo + 1)) as usize);
        let o = Options::<2>::new()
            .stride(r(1, 4))
            .dilation(r(1, 3))
            .groups(groups)
            .pad(Padding::Explicit([r(0, 4).into(), r(0, 4).into()]));
        let (size, kernel) = (r(1, 9), r(1, 5));
        let Ok(g) = Geometry::transposed(size, kernel, channels, &o) else { continue };
        let batch = next(6) as usize;
        let mut int = |shape: [usize; 5]| Array5::from_shape_fn(shape, |_| next(15) as f32 - 7.0);
        let w = int(g.weight_shape());
        let sh = |s: Side| {
            let a = g.shape(s);
            [batch, a[0], a[1], a[2], a[3]]
        };
        let (x, y) = (int(sh(Side::Large)), int(sh(Side::Small)));
        let c = Convolution::new(g, w.clone()).unwrap();
        let wy = reference::convolution(&g, w.view(), x.view()).unwrap().mapv(|v| v as f32);
        let wx = reference::transposed_convolution(&g, w.view(), y.view()).unwrap().mapv(|v| v as f32);
        let ww = reference::weight_gradient(&g, x.view(), y.view()).unwrap().mapv(|v| v as f32);
        for f in Formulation::ALL {
            for gemm in GemmBackend::ALL {
                let op = c.formulate_with(f, &FormulationOptions { gemm, ..Default::default() }).unwrap();
                assert_eq!(op.apply(x.view()).unwrap(), wy, "{f} {g:?}");
                assert_eq!(op.apply_adjoint(y.view()).unwrap(), wx, "{f} {g:?}");
            }
        }
        let mut dw = Array5::from_elem(g.weight_shape(), f32::NAN);
        weight_gradient(&g, x.view(), y.view(), dw.view_mut()).unwrap();
        assert_eq!(dw, ww, "{g:?}");
        done += 1;
    }
    assert!(done > 1000);
}
