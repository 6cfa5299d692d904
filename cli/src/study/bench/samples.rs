//! Runs made up for tests.

use super::record::*;

/// Builds one record. Unless told otherwise it has 8 channels, a spread of 0.9 to 1.1 times its median, and no time to
/// build.
#[derive(Clone)]
pub struct Sample(Record);

impl Sample {
    /// A record of the dense matrix with a median of 1 s.
    pub fn new(layer: &str, swept: f64) -> Self {
        let lengths = |text: &str| text.parse().expect("lengths");
        let problem = Problem {
            layer: layer.to_owned(),
            swept: Some(swept),
            op: Op::Conv,
            batch: 1,
            in_channels: 8,
            out_channels: 8,
            input: lengths("14x14"),
            kernel: lengths("3x3"),
            stride: lengths("1x1"),
            padding: "1x1".parse().expect("pads"),
            output_padding: lengths("0x0"),
            dilation: lengths("1x1"),
            groups: 1,
            threads: 1,
            direction: Direction::Forward,
        };
        let sample = Self(Record {
            problem,
            candidate: Candidate::Dense,
            work: Work { useful_flops: 1_000_000, executed_flops: None, bytes: 1_000_000 },
            ceiling: Ceiling { flops_peak: 1e11, bandwidth: 1e10 },
            outcome: Outcome::Interrupted,
            warnings: Vec::new(),
        });
        sample.run(1.0)
    }

    pub fn candidate(mut self, candidate: Candidate) -> Self {
        self.0.candidate = candidate;
        self
    }

    pub fn direction(mut self, direction: Direction) -> Self {
        self.0.problem.direction = direction;
        self
    }

    /// The record with this median, and no time to build.
    pub fn run(self, median: f64) -> Self {
        self.built(0.0, median)
    }

    pub fn built(mut self, build_seconds: f64, median: f64) -> Self {
        let run = Spread { median, low: 0.9 * median, high: 1.1 * median, least: 0.8 * median, count: 11, rounds: 9 };
        let (held_bytes, peak_bytes) = (1 << 20, 3 << 20);
        self.0.outcome = Outcome::Measured(Measured { build_seconds, builds: 3, run, held_bytes, peak_bytes });
        self
    }

    pub fn peak_bytes(mut self, bytes: u64) -> Self {
        if let Outcome::Measured(measured) = &mut self.0.outcome {
            measured.peak_bytes = bytes;
        }
        self
    }

    pub fn refused(mut self, bytes: Option<u64>) -> Self {
        self.0.outcome = Outcome::Refused { reason: "it is too large".to_owned(), bytes };
        self
    }

    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    pub fn work(mut self, useful_flops: u64, bytes: u64) -> Self {
        self.0.work = Work { useful_flops, executed_flops: None, bytes };
        self
    }
}

/// A run of such records; without a sweep they have no swept value.
pub fn run(sweep: Option<Sweep>, samples: &[Sample]) -> Run {
    let header = Header {
        format: FORMAT,
        date: "2026-11-27T04:00:00Z".to_owned(),
        version: "0.1.0".to_owned(),
        command: "convmat bench --sweep channels".to_owned(),
        processor: "A <processor> & more".to_owned(),
        cores: 2,
        system: "linux x86_64".to_owned(),
        threads: 1,
        isa: "avx512".to_owned(),
        memory_by: "counting allocator".to_owned(),
        memory_limit: 1 << 30,
        sweep,
        warnings: Vec::new(),
    };
    let mut records: Vec<Record> = samples.iter().map(|sample| sample.0.clone()).collect();
    if sweep.is_none() {
        records.iter_mut().for_each(|record| record.problem.swept = None);
    }
    Run { header, records }
}

/// Channels 4 to 64: the dense matrix wins at first and is refused in the end, the sparse one beats im2col up to 8 channels, the plan
/// wins from 16 on.
pub fn channels() -> Run {
    let mut samples = Vec::new();
    for (i, channels) in [4.0, 8.0, 16.0, 32.0, 64.0].into_iter().enumerate() {
        for direction in [Direction::Forward, Direction::Adjoint] {
            let power = |base: f64| base.powi(i32::try_from(i).expect("small"));
            let of = |candidate, build, seconds: f64, intensity: f64| {
                let flops = (1e6 * power(4.0)) as u64;
                Sample::new(&format!("channels {channels}"), channels)
                    .direction(direction)
                    .candidate(candidate)
                    .built(build, seconds)
                    .work(flops, (flops as f64 / intensity) as u64)
                    .peak_bytes((1e5 * seconds / 1e-5) as u64)
            };
            let dense = of(Candidate::Dense, 1e-3 * power(16.0), 1e-5 * power(16.0), 0.25);
            samples.push(if i == 4 { dense.refused(Some(5 << 30)) } else { dense });
            let sparse = match direction {
                Direction::Forward => [Candidate::SparseCsr].as_slice(),
                _ => &[Candidate::SparseCsc, Candidate::TransposedCsr],
            };
            for (j, &candidate) in sparse.iter().enumerate() {
                samples.push(of(candidate, 2e-3 * power(4.0), (1.0 + j as f64) * 2e-5 * power(5.0), 0.2));
            }
            samples.push(of(Candidate::Im2colGemm, 1e-6, 6e-5 * power(3.0), 8.0));
            samples.push(of(Candidate::Im2colMatrixmultiply, 1e-6, 7e-5 * power(3.1), 8.0));
            samples.push(of(Candidate::Planned, 1e-4 * power(4.0), 4e-5 * power(3.0), 40.0));
        }
    }
    run(Some(Sweep::Channels), &samples)
}
