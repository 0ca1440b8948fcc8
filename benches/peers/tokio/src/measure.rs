// SPDX-License-Identifier: Apache-2.0
//
//! What a run costs: time, CPU and memory, of this process and seen by the kernel.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

pub struct Usage {
    pub wall_s: f64,
    pub cpu_s: f64,
}

/// What `work` gave, and what it took.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Usage) {
    let start_cpu_s = process_cpu_s();
    let start = Instant::now();
    let result = work();
    let wall_s = start.elapsed().as_secs_f64();
    let cpu_s = process_cpu_s() - start_cpu_s;
    (result, Usage { wall_s, cpu_s })
}

/// The quantiles that harness/program.h has.
pub fn latency_figures(sorted: &[Duration]) -> Vec<(&'static str, f64)> {
    vec![
        ("p10_us", quantile_us(sorted, 0.1)),
        ("p50_us", quantile_us(sorted, 0.5)),
        ("p90_us", quantile_us(sorted, 0.9)),
        ("p99_us", quantile_us(sorted, 0.99)),
        ("p999_us", quantile_us(sorted, 0.999)),
        ("p9999_us", quantile_us(sorted, 0.9999)),
        ("max_us", quantile_us(sorted, 1.0)),
    ]
}

/// The sample at this quantile by the nearest rank, in us.
fn quantile_us(sorted: &[Duration], quantile: f64) -> f64 {
    let last = (sorted.len() - 1) as f64;
    sorted[(quantile * last + 0.5) as usize].as_secs_f64() * 1e6
}

fn process_cpu_s() -> f64 {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a rusage, which may be zeroed.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The most memory that this process has had resident; 0 if the kernel does not say.
///
/// Not getrusage's ru_maxrss: that one is handed on by exec, and starts at what the starting program had.
pub fn peak_rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
