//! Limits on memory: known before anything is allocated, exact to the byte, and kept.

use convmat::{
    Channels, Compose, Convolution, Error, Formulation, FormulationOptions, Geometry, LinearOperator, Options, Pad,
    PadMode, Scalar, csr_of, weight_gradient,
};
use ndarray::Array5;
use rayon::ThreadPoolBuilder;

use crate::common::{case, for_cases, in_every_rank};
use crate::values::distinct;

in_every_rank!(a_matrix_fits_exactly_its_bytes);

fn a_matrix_fits_exactly_its_bytes<const N: usize>() {
    for_cases(40, case::<N>(10_000), |case| {
        let c = case.convolution(&distinct::<f32>(case.literal().weight_shape()));
        let (dense, csr) = (c.dense_bytes(), c.csr_bytes());
        assert!(c.dense(dense).is_ok() && c.csr(csr).is_ok());
        assert_eq!(c.dense(dense - 1).err(), over("the dense matrix", dense, "the sparse matrix or im2col"));
        assert_eq!(c.csr(csr - 1).err(), over("the sparse matrix", csr, "im2col, which needs no matrix"));
        let with = |formulation, memory_limit| {
            c.formulate_with(formulation, &FormulationOptions::new().memory_limit(memory_limit)).err()
        };
        assert_eq!(with(Formulation::Dense, dense), None);
        assert_eq!(with(Formulation::Dense, dense - 1), over("the dense matrix", dense, "the sparse matrix or im2col"));
        // Both C and its transpose.
        let both = 2 * c.flops() / 2 * (4 + 8) + (c.geometry().rows() + c.geometry().columns() + 2) as u128 * 8;
        assert_eq!(with(Formulation::Sparse, both), None);
        let what = "the sparse matrix and its transpose";
        assert_eq!(with(Formulation::Sparse, both - 1), over(what, both, "im2col, which needs no matrix"));
        assert!(csr_of(&c, csr).is_ok() && csr_of(&c, csr - 1).is_err());
    });
}

in_every_rank!(every_formulation_fits_exactly_what_it_announces);

fn every_formulation_fits_exactly_what_it_announces<const N: usize>() {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for_cases(40, case::<N>(10_000), |case| {
        let c = case.convolution(&distinct::<f32>(case.literal().weight_shape()));
        for &formulation in Formulation::ALL {
            let (held, scratch) = (c.stored_bytes(formulation), c.scratch_bytes(formulation));
            let with =
                |memory_limit| c.formulate_with(formulation, &FormulationOptions::new().memory_limit(memory_limit));
            let operator = with(held + scratch).unwrap();
            let workspace = pool.install(|| operator.workspace_len(1)) * size_of::<f32>();
            assert_eq!(workspace as u128, scratch, "{formulation}");
            match formulation {
                Formulation::Gather | Formulation::Scatter => assert_eq!((held, scratch), (0, 0), "{formulation}"),
                // With less there is still the recipe of the planned path.
                Formulation::Filtered => {}
                _ if held + scratch > 0 => {
                    let Some(Error::MemoryLimit { bytes, limit, .. }) = with(held + scratch - 1).err() else {
                        panic!("{formulation} ignores its limit")
                    };
                    assert_eq!((bytes, limit), (held + scratch, bytes - 1), "{formulation}");
                }
                _ => {}
            }
        }
        assert_eq!(c.stored_bytes(Formulation::ZeroInsertion), 4 * c.weights5().len() as u128);
    });
}

/// The error for a limit one byte below what is needed.
fn over(what: &'static str, bytes: u128, instead: &'static str) -> Option<Error> {
    Some(Error::MemoryLimit { what, bytes, limit: bytes - 1, instead })
}

/// A 1-D layer of length 2³¹, whose dense matrix would have 2⁶² cells.
fn long() -> Convolution<f32, 1> {
    let channels = Channels { small: 1, large: 1 };
    let g = Geometry::convolution([1 << 31], [3], channels, &Options::new().padding([1])).unwrap();
    Convolution::new(g, Array5::ones([1, 1, 1, 1, 3])).unwrap()
}

#[test]
fn a_matrix_of_exabytes_is_refused_at_once() {
    let c = long();
    assert_eq!(c.dense_bytes(), 1 << 64);
    let entries = 3 * (1 << 31) - 2;
    assert_eq!(c.csr_bytes(), entries * (4 + 8) + ((1 << 31) + 1) * 8);
    assert_eq!(c.flops(), 2 * entries);
    let message = |result: convmat::Result<Box<dyn LinearOperator<f32>>>| result.err().unwrap().to_string();
    assert_eq!(
        message(c.formulate(Formulation::Dense)),
        "the dense matrix would need 16 EiB > 1 GiB; use the sparse matrix or im2col, or raise the limit"
    );
    assert_eq!(
        message(c.formulate(Formulation::Sparse)),
        "the sparse matrix and its transpose would need 176 GiB > 1 GiB; use im2col, which needs no matrix, or raise the \
         limit"
    );
    assert!(matches!(c.dense(1 << 40), Err(Error::MemoryLimit { .. })));
    // No limit is no address space: still an error.
    assert!(matches!(c.dense(u128::MAX), Err(Error::Overflow { .. })));
}

#[test]
fn a_sparse_matrix_over_the_limit_allocates_nothing() {
    // 2⁵⁰ and 2⁵⁹ rows: whatever is allocated per row before the limit is looked at ends the process.
    let channels = Channels { small: 1, large: 1 };
    let of_length = |length| {
        let g = Geometry::convolution([length], [3], channels, &Options::new()).unwrap();
        Convolution::new(g, Array5::<f32>::ones([1, 1, 1, 1, 3])).unwrap()
    };
    let c = of_length(1 << 50);
    assert!(matches!(c.csr(1 << 30), Err(Error::MemoryLimit { .. })));
    assert!(matches!(csr_of(&c, 1 << 30), Err(Error::MemoryLimit { .. })));
    // The direct sums list nothing, and a tile is a tile. No tensor with zeros inserted and no plan can be that large.
    for formulation in [Formulation::Gather, Formulation::Scatter, Formulation::Im2col] {
        assert!(c.formulate(formulation).is_ok(), "{formulation}");
    }
    assert!(matches!(c.formulate(Formulation::ZeroInsertion).err(), Some(Error::MemoryLimit { .. })));
    assert!(matches!(c.formulate(Formulation::Planned).err(), Some(Error::Memory { .. })));
    // No limit is no address space: still an error.
    assert!(matches!(of_length(1 << 59).csr(u128::MAX), Err(Error::Overflow { .. })));
}

#[test]
fn matrices_of_products_and_pads_keep_the_limit() {
    let pad = Pad::new([2, 1, 1, 3], [(0, 0), (0, 0), (1, 2)], PadMode::Replicate).unwrap();
    let csr = |rows: u128, entries: u128| entries * (4 + 8) + (rows + 1) * 8;
    // 12 rows with one entry each.
    assert!(csr_of::<f32, _>(&pad, csr(12, 12)).is_ok());
    assert!(matches!(csr_of::<f32, _>(&pad, csr(12, 12) - 1), Err(Error::MemoryLimit { .. })));
    let g = Geometry::convolution([6], [2], Channels { small: 2, large: 2 }, &Options::new()).unwrap();
    let product = Compose::new(Convolution::new(g, Array5::<f32>::ones([2, 2, 1, 1, 2])).unwrap(), pad).unwrap();
    // 10 rows; four entries of C in each, and every one meets one of the pad.
    assert!(csr_of(&product, csr(10, 40)).is_ok());
    assert!(matches!(csr_of(&product, csr(10, 40) - 1), Err(Error::MemoryLimit { .. })));
}

/// Bytes of workspace on one thread.
fn bytes<T: Scalar, const N: usize>(c: &Convolution<T, N>, batch: usize) -> usize {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| c.formulate(Formulation::Im2col).unwrap().workspace_len(batch)) * size_of::<T>()
}

#[test]
fn lowering_keeps_to_64_mib_per_thread_whatever_the_layer() {
    fn check<T: Scalar, const N: usize>(size: [usize; N], kernel: [usize; N], channels: (usize, usize), o: Options<N>) {
        let channels = Channels { small: channels.0, large: channels.1 };
        let g = Geometry::convolution(size, kernel, channels, &o).unwrap();
        let c = Convolution::new(g, Array5::<T>::zeros(g.weight_shape())).unwrap();
        for batch in [0, 1, 2, 16, 1000, 1_000_000] {
            let bytes = bytes(&c, batch);
            assert!(bytes <= 64 << 20, "{bytes} bytes for batch {batch} of {g:?}");
        }
    }
    let one = Options::<1>::new();
    check::<f32, 1>([1 << 20], [1 << 20], (1, 1), one);
    check::<f64, 1>([1 << 20], [1 << 20], (1, 1), one);
    check::<f32, 1>([(1 << 20) + 1000], [1 << 20], (1, 1), one);
    check::<f64, 1>([(1 << 20) + 1000], [1 << 20], (1, 1), one);
    check::<f32, 1>([1 << 22], [1 << 20], (1, 1), one);
    check::<f64, 1>([1 << 22], [(1 << 20) - 1], (1, 1), one);
    check::<f64, 1>([(1 << 22) + 33], [1 << 22], (1, 1), one);
    check::<f32, 2>([512, 512], [512, 512], (1, 1), Options::new());
    check::<f32, 2>([600, 700], [512, 512], (1, 2), Options::new());
    check::<f64, 2>([600, 700], [512, 512], (2, 1), Options::new());
    check::<f64, 2>([600, 700], [500, 530], (1, 1), Options::new());
    check::<f32, 1>([16], [1], (1 << 17, 2), one);
    check::<f32, 1>([1], [1], (1 << 17, 2), one);
    check::<f32, 1>([1], [1], (2, 1 << 17), one);
    check::<f64, 1>([3], [3], (4096, 512), one);
    check::<f32, 2>([7, 7], [3, 3], (4096, 4096), Options::new().groups(4096).padding([1, 1]));
    check::<f32, 2>([4096, 4096], [7, 7], (64, 3), Options::new().stride([2, 2]));
}

#[test]
fn usual_layers_need_a_tile_and_no_more() {
    // Half a megabyte of columns, next to a tile of y where several samples share it.
    for (size, kernel, small, large) in [(56, 3, 64, 64), (14, 3, 256, 256), (7, 1, 512, 2048), (224, 7, 64, 3)] {
        let channels = Channels { small, large };
        let o = Options::new().padding([kernel / 2; 2]);
        let g = Geometry::convolution([size; 2], [kernel; 2], channels, &o).unwrap();
        let c = Convolution::new(g, Array5::<f32>::zeros(g.weight_shape())).unwrap();
        for batch in [1, 16, 100] {
            let bytes = bytes(&c, batch);
            assert!((64 << 10..=4 << 20).contains(&bytes), "{bytes} bytes for batch {batch} of {g:?}");
        }
    }
}

#[test]
fn announcing_the_workspace_of_an_absurd_batch_is_no_reason_to_panic() {
    // Planes of several tiles, two groups: there are more tasks than samples.
    let g =
        Geometry::convolution([50, 60], [3, 3], Channels { small: 4, large: 4 }, &Options::new().groups(2)).unwrap();
    let c = Convolution::new(g, Array5::<f32>::zeros(g.weight_shape())).unwrap();
    for formulation in Formulation::ALL.iter().copied().filter(|&formulation| formulation != Formulation::Dense) {
        let operator = c.formulate(formulation).unwrap();
        for batch in [usize::MAX, usize::MAX / 2, isize::MAX as usize, 1 << 60] {
            operator.workspace_len(batch);
        }
        // The inserted zeros grow with the batch, so only their number may be cut off.
        let grows = formulation == Formulation::ZeroInsertion;
        assert_eq!(operator.workspace_len(usize::MAX) == usize::MAX, grows, "{formulation}");
    }
    let pad = Pad::new([4, 1, 50, 60], [(0, 0); 3], PadMode::Zeros).unwrap();
    let product = Compose::new(c, pad).unwrap();
    assert_eq!(product.workspace_len(usize::MAX), usize::MAX);
}

#[test]
fn the_weight_gradient_of_a_huge_kernel_stays_small_too() {
    // 2¹⁸ taps and 40 pixels: the column matrix has 10⁷ elements, a sum over all of it must come out right.
    let g =
        Geometry::convolution([(1 << 18) + 39], [1 << 18], Channels { small: 1, large: 1 }, &Options::new()).unwrap();
    let x = Array5::<f32>::ones([1, 1, 1, 1, (1 << 18) + 39]);
    let y = Array5::<f32>::ones([1, 1, 1, 1, 40]);
    let mut gradient = Array5::from_elem(g.weight_shape(), f32::NAN);
    weight_gradient(&g, x.view(), y.view(), gradient.view_mut()).unwrap();
    assert!(gradient.iter().all(|&value| value == 40.0));
}
