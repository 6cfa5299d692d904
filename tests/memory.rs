//! Lowering keeps no memory but what it declares, and the engine takes none at all after its first call: a counting allocator
//! watches them.
//!
//! It is a test crate of its own because an allocator belongs to a whole program, with one test so that no other allocates
//! at the same time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use convmat::{
    Accuracy, Channels, ConvTranspose3d, Convolution, Epilogue, Error, Formulation, FormulationOptions, Geometry,
    MaxPool, Options, PlanOptions, Recipe, Workspace, weight_gradient,
};
use ndarray::{Array1, Array2, Array4, Array5};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counters are atomic and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        PEAK.fetch_max(HELD.fetch_add(layout.size(), SeqCst) + layout.size(), SeqCst);
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `run` held beyond what was held before it.
fn peak(run: impl FnOnce()) -> usize {
    let before = HELD.load(SeqCst);
    PEAK.store(before, SeqCst);
    run();
    PEAK.load(SeqCst) - before
}

/// Allocations during `run`.
fn allocations(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(SeqCst);
    run();
    ALLOCATIONS.load(SeqCst) - before
}

#[test]
fn memory_is_what_is_declared() {
    lowering_holds_its_workspace_and_little_else();
    pooling_holds_its_results_and_little_else();
    direct_sums_hold_nothing();
    what_is_over_the_limit_is_not_packed();
    for threads in [1, 2] {
        the_engine_allocates_nothing_after_its_first_call(threads);
        minimal_filtering_allocates_nothing_after_its_first_call(threads);
    }
}

fn the_engine_allocates_nothing_after_its_first_call(threads: usize) {
    const CALLS: usize = 50;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    // Vectors along the pixels of one sample, and along samples side by side, both with blocks of inputs; and a
    // depthwise layer.
    for (size, channels, batch, groups) in [([1, 40, 40], 24, 3, 1), ([1, 3, 3], 160, 64, 1), ([1, 40, 40], 24, 8, 24)]
    {
        let options = Options::new().stride([1, 2, 2]).padding([0, 1, 1]).groups(groups);
        let both = Channels { small: channels, large: 24 };
        let g = Geometry::transposed(size, [1, 4, 4], both, &options).unwrap();
        let weights = Array5::<f32>::ones(g.weight_shape()).into_shared();
        let operator = Convolution::new(g, weights.clone()).unwrap().formulate(Formulation::Planned).unwrap();
        let layer = ConvTranspose3d::from_shared(weights, Some(Array1::ones(24)), options).unwrap();
        let epilogue = Epilogue::new().scale([2.0]).prelu([0.5]);
        let plan = layer.plan(size, &PlanOptions::new()).unwrap().with_epilogue(epilogue).unwrap();
        let [c, d, h, w] = g.large_shape();
        let (mut x, residual) = (Array5::ones([batch, c, d, h, w]), Array5::ones([batch, c, d, h, w]));
        let [c, d, h, w] = g.small_shape();
        let mut y = Array5::ones([batch, c, d, h, w]);
        let mut workspace = Workspace::new();
        // From outside a pool a task is handed over in new memory; inside none is needed.
        pool.install(|| {
            let mut all = || {
                operator.apply_into(x.view(), y.view_mut(), &mut workspace).unwrap();
                operator.apply_adjoint_into(y.view(), x.view_mut(), &mut workspace).unwrap();
                plan.run_into(&y, &mut x, &mut workspace).unwrap();
                plan.run_with_residual_into(&y, &residual, &mut x, &mut workspace).unwrap();
            };
            all();
            // A thread of the pool allocates what it needs when it first shares work, which on a busy machine may be late.
            let here = std::sync::Barrier::new(threads);
            rayon::broadcast(|_| {
                here.wait();
                rayon::join(|| (), || ());
            });
            let count = allocations(|| (0..CALLS).for_each(|_| all()));
            assert_eq!(count, 0, "{threads} threads, {size:?}: allocations in {CALLS} calls");
            if threads > 1 {
                assert_eq!(plan.workspace_len(batch), threads * plan.workspace_per_thread(batch), "one thread works");
            }
        });
    }
}

fn minimal_filtering_allocates_nothing_after_its_first_call(threads: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let options = Options::new().stride([1, 2, 2]).padding([0, 1, 1]);
    let layer = ConvTranspose3d::<f32>::zeros(96, 64, [1, 4, 4], options).unwrap().init_default(1);
    let plan = layer.plan([1, 20, 20], &PlanOptions::new().accuracy(Accuracy::Fast)).unwrap();
    assert!(matches!(plan.recipe(), Recipe::Filtered(_)));
    for batch in [1, 3] {
        let (mut x, mut y) = (Array5::ones([batch, 96, 1, 20, 20]), Array5::ones([batch, 64, 1, 40, 40]));
        let mut workspace = Workspace::new();
        pool.install(|| {
            plan.run_into(&x, &mut y, &mut workspace).unwrap();
            let here = std::sync::Barrier::new(threads);
            rayon::broadcast(|_| {
                here.wait();
                rayon::join(|| (), || ());
            });
            // At last with tiles that are computed by the definition.
            for poison in [1.0, f32::NAN] {
                x[[0, 5, 0, 7, 7]] = poison;
                let count = allocations(|| (0..10).for_each(|_| plan.run_into(&x, &mut y, &mut workspace).unwrap()));
                assert_eq!(count, 0, "{threads} threads, batch {batch}: allocations in 10 calls");
            }
            assert_eq!(workspace.len(), plan.workspace_len(batch));
        });
    }
}

/// A list of what is connected would take 24 bytes and more per tap of every element.
fn direct_sums_hold_nothing() {
    let channels = Channels { small: 1, large: 1 };
    let g = Geometry::convolution([1 << 22], [3], channels, &Options::new().padding([1])).unwrap();
    let c = Convolution::new(g, Array5::<f32>::ones(g.weight_shape())).unwrap();
    let mut y = Array5::ones([1, 1, 1, 1, 1 << 22]);
    let x = y.clone();
    for formulation in [Formulation::Gather, Formulation::Scatter] {
        let held = peak(|| {
            let operator = c.formulate(formulation).unwrap();
            operator.apply_into(x.view(), y.view_mut(), &mut Workspace::new()).unwrap();
            operator.apply_adjoint_into(x.view(), y.view_mut(), &mut Workspace::new()).unwrap();
        });
        assert!(held < 1 << 18, "{formulation}: {held} bytes for a tensor of 16 MiB");
    }
}

fn what_is_over_the_limit_is_not_packed() {
    let layer = ConvTranspose3d::<f32>::zeros(512, 512, [1, 3, 3], Options::new()).unwrap();
    let packed = layer.plan([1, 8, 8], &PlanOptions::default()).unwrap().packed_bytes();
    let options = PlanOptions::new().memory_limit(packed as u128);
    let held = peak(|| assert!(matches!(layer.plan([1, 8, 8], &options), Err(Error::MemoryLimit { .. }))));
    assert!(held < packed / 4, "{held} bytes to find that {packed} are too many");
    // The same of the formulation.
    let c = layer.convolution([1, 8, 8]).unwrap();
    let options = FormulationOptions::new().memory_limit(packed as u128);
    let held = peak(|| {
        let refused = c.formulate_with(Formulation::Planned, &options).err();
        assert!(matches!(refused, Some(Error::MemoryLimit { .. })));
    });
    assert!(held < packed / 4, "{held} bytes to find that twice {packed} are too many");
}

fn lowering_holds_its_workspace_and_little_else() {
    const MIB: usize = 1 << 20;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let options = Options::new();
    // A huge kernel, whose taps have as many runs as the column matrix has entries in a row; and an ordinary layer.
    for (size, kernel, channels, batch) in [
        ([200, 136], [128, 128], Channels { small: 1, large: 1 }, 1),
        ([40, 40], [3, 3], Channels { small: 32, large: 16 }, 8),
    ] {
        let g = Geometry::convolution(size, kernel, channels, &options).unwrap();
        let c = Convolution::new(g, Array5::<f32>::ones(g.weight_shape())).unwrap();
        let operator = c.formulate(Formulation::Im2col).unwrap();
        let [channels_x, d, h, w] = g.large_shape();
        let mut x = Array5::ones([batch, channels_x, d, h, w]);
        let [channels_y, d, h, w] = g.small_shape();
        let mut y = Array5::ones([batch, channels_y, d, h, w]);
        let mut gradient = Array5::ones(g.weight_shape());
        pool.install(|| {
            let declared = operator.workspace_len(batch) * size_of::<f32>();
            let mut workspace = Workspace::new();
            // What the GEMM crate packs per thread is kept between calls: the first call takes it.
            operator.apply_into(x.view(), y.view_mut(), &mut workspace).unwrap();
            operator.apply_adjoint_into(y.view(), x.view_mut(), &mut workspace).unwrap();
            weight_gradient(&g, x.view(), y.view(), gradient.view_mut()).unwrap();
            let forward = peak(|| operator.apply_into(x.view(), y.view_mut(), &mut workspace).unwrap());
            assert!(forward < 4 * MIB, "{g:?}: {forward} bytes beside the workspace");
            let adjoint = peak(|| operator.apply_adjoint_into(y.view(), x.view_mut(), &mut workspace).unwrap());
            assert!(adjoint < 4 * MIB, "{g:?}: {adjoint} bytes beside the workspace");
            let weights = peak(|| weight_gradient(&g, x.view(), y.view(), gradient.view_mut()).unwrap());
            assert!(weights < declared + 12 * MIB, "{g:?}: {weights} bytes for the weight gradient");
        });
    }
}

fn pooling_holds_its_results_and_little_else() {
    const KIB: usize = 1 << 10;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        // Wide windows, which have many links; and many planes of a single window.
        let (line, planes) = (Array2::<f32>::ones([1, 1 << 19]), Array4::<f32>::ones([2048, 64, 2, 2]));
        let wide = MaxPool::new([40]).stride([1]);
        let of = |outputs: usize| outputs * (size_of::<f32>() + size_of::<usize>());
        let results = of((1 << 19) - 39);
        let held = peak(|| drop(wide.forward(&line).unwrap()));
        assert!(held < results + 64 * KIB, "{held} bytes for {results} of results");
        let held = peak(|| drop(MaxPool::new([2, 2]).forward(&planes).unwrap()));
        assert!(held < of(2048 * 64) + 64 * KIB, "{held} bytes for {} of results", of(2048 * 64));
    });
}
