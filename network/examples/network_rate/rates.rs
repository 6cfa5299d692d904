//! What measuring a network has in common whatever engine runs it: the arguments, the input, the times, the memory and the line of JSON.
//! `scripts/network_peers` includes this file too. It knows no engine.

use std::error::Error;
use std::time::Instant;

/// Runs that are not counted, because caches are cold and memory is new.
const UNCOUNTED: usize = 2;

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is to be measured.
pub struct Request {
    pub model: String,
    pub shape: Vec<usize>,
    pub threads: usize,
    pub runs: usize,
    /// The files of the input and of the outputs, `f32` in order and lowest byte first.
    pub files: Option<[String; 2]>,
}

impl Request {
    /// `MODEL.onnx SHAPE THREADS RUNS [INPUT OUTPUT]`.
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let ([model, shape, threads, runs], files) = arguments.split_first_chunk()?;
        let files = match files {
            [] => None,
            [input, output] => Some([input.clone(), output.clone()]),
            _ => return None,
        };
        let shape = shape.split('x').map(|length| length.parse().ok()).collect::<Option<_>>()?;
        let (threads, runs) = (threads.parse().ok()?, runs.parse().ok()?);
        (threads > 0 && runs > 0).then(|| Self { model: model.clone(), shape, threads, runs, files })
    }

    /// The input in order: what the file says, else element i is `(7919·i mod 1000) / 500 − 1`.
    pub fn input(&self) -> Outcome<Vec<f32>> {
        let elements = self.shape.iter().product::<usize>();
        let Some([path, _]) = &self.files else {
            return Ok((0..elements).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect());
        };
        let bytes = std::fs::read(path)?;
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
        if bytes.len() != 4 * elements {
            return Err(format!("{path} has {} bytes for {elements} elements", bytes.len()).into());
        }
        Ok(values)
    }

    /// Writes the outputs where they are asked for.
    pub fn write(&self, outputs: impl FnOnce() -> Outcome<Vec<f32>>) -> Outcome<()> {
        let Some([_, path]) = &self.files else { return Ok(()) };
        let bytes: Vec<u8> = outputs()?.into_iter().flat_map(f32::to_le_bytes).collect();
        Ok(std::fs::write(path, bytes)?)
    }
}

/// A result, and the milliseconds that it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64() * 1e3)
}

/// The process's resident memory before a network is loaded and after. With no `/proc` (Linux) nothing is known of it.
pub struct Resident {
    before: Option<u64>,
    loaded: Option<u64>,
}

impl Resident {
    /// To be called when the input is there and nothing is loaded.
    pub fn before_load() -> Self {
        Self { before: status("VmRSS:"), loaded: None }
    }

    /// To be called when the network is loaded and nothing has run: forgets the peak so far.
    pub fn after_load(&mut self) {
        self.loaded = status("VmRSS:");
        // What loading took for a while is not what running takes.
        if std::fs::write("/proc/self/clear_refs", "5").is_err() {
            self.loaded = None;
        }
    }
}

/// Runs a network that is loaded. Answers with the members of a line of JSON (the median of the milliseconds; the bytes by which the
/// peak of all runs is above what was resident after and before loading) and what the last run returned; what others returned is
/// dropped within their time.
pub fn measured<T>(
    request: &Request,
    resident: &Resident,
    mut run: impl FnMut() -> Outcome<T>,
) -> Outcome<(String, T)> {
    let mut times = Vec::with_capacity(request.runs);
    for at in 1..request.runs + UNCOUNTED {
        let (done, time) = timed(|| run().map(drop));
        done?;
        if at > UNCOUNTED {
            times.push(time);
        }
    }
    let (last, time) = timed(run);
    let last = last?;
    times.push(time);
    times.sort_by(f64::total_cmp);
    let median = (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0;
    let peak = resident.loaded.and_then(|_| status("VmHWM:"));
    let above =
        |base: Option<u64>| peak.zip(base).map_or("null".into(), |(peak, base)| peak.saturating_sub(base).to_string());
    let (run, whole) = (above(resident.loaded), above(resident.before));
    Ok((format!("\"run_ms\": {median:.4}, \"run_bytes\": {run}, \"whole_bytes\": {whole}"), last))
}

/// Bytes that the operating system states of this process, by the name in `/proc/self/status`.
fn status(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
