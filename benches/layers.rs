//! Three layers in the formulations of `convmat bench`, built and run by the code that it runs, so that the medians compare; with
//! `--time 10` it measures about as long as this does. Both state medians of single calls:
//!
//! ```text
//! convmat bench --layers benches/three_layers.json --threads 1 --time 10 --formulations sparse,im2col-gemm,planned -o three
//! cargo bench --bench layers
//! scripts/compare_criterion.py three
//! ```

use std::time::Duration;

use convmat::{GemmBackend, Workspace};
use convmat_measure::method::{Method, Output, Problem};
use convmat_measure::turns::medians;
use convmat_measure::{layer_file, pool};
use criterion::{Criterion, criterion_group, criterion_main};

const LAYERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/three_layers.json");
const LIMIT: u128 = 1 << 30;

fn layers(criterion: &mut Criterion) {
    let pool = pool(1).expect("a pool of one thread");
    for (name, workload) in layer_file(LAYERS).expect("the file is part of the project") {
        let workload = workload.expect("the layers are possible");
        let output = if workload.transposed { Output::Large } else { Output::Small };
        let mut problem = Problem::new(workload, output).expect("the layers are possible");
        let sparse = if output == Output::Large { "transposed-csr" } else { "sparse-csr" };
        let mut group = criterion.benchmark_group(&name);
        for (name, method) in
            [(sparse, Method::Rows), ("im2col-gemm", Method::Lowered(GemmBackend::Gemm)), ("planned", Method::Planned)]
        {
            let built = method.build(&problem, LIMIT).expect("the matrices are below the limit");
            let mut workspace = Workspace::new();
            group.bench_function(name, |b| {
                let mut run = || built.run(&mut problem, &mut workspace).expect("it was built for the problem");
                pool.install(|| b.iter_custom(|calls| medians(calls, &mut run)));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = layers
}
criterion_main!(benches);
