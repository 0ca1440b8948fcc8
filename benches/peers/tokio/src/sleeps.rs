// SPDX-License-Identifier: Apache-2.0
//
//! Very many tasks that sleep at the same time, each for another number of milliseconds.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::command::Outcome;
use crate::measure::{latency_figures, measure};

/// The same for all programs: 1 to 1000, spread evenly, in no order.
fn sleep_of_task_ms(task: u64) -> u64 {
    1 + (task * 2_654_435_761 >> 7) % 1000
}

struct Sleepers {
    late_ns: Vec<AtomicI64>,
    left: AtomicU64,
    end: Semaphore,
}

async fn sleep_once(sleepers: &'static Sleepers, task: u64) {
    let sleep = Duration::from_millis(sleep_of_task_ms(task));
    let start = Instant::now();
    tokio::time::sleep(sleep).await;
    let late = start.elapsed().as_nanos() as i64 - sleep.as_nanos() as i64;
    sleepers.late_ns[task as usize].store(late, Ordering::Relaxed);
    if sleepers.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        sleepers.end.add_permits(1);
    }
}

pub fn timers(runtime: &Runtime, _workers: usize, tasks: u64) -> Outcome {
    // Leaked: tasks borrow only what lives for ever, and an Arc would count its owners at each spawn and each end. The
    // other programs' tasks have a pointer.
    let sleepers: &'static Sleepers = Box::leak(Box::new(Sleepers {
        late_ns: (0..tasks).map(|_| AtomicI64::new(0)).collect(),
        left: AtomicU64::new(tasks),
        end: Semaphore::new(0),
    }));
    let root = async move {
        for task in 0..tasks {
            tokio::spawn(sleep_once(sleepers, task));
        }
        let _permit = sleepers.end.acquire().await.expect("open");
    };
    let ((), used) = measure(|| runtime.block_on(runtime.spawn(root)).expect("no panic"));
    let mut late_ns: Vec<i64> = sleepers
        .late_ns
        .iter()
        .map(|late| late.load(Ordering::Relaxed))
        .collect();
    late_ns.sort_unstable();
    let late: Vec<Duration> = late_ns
        .iter()
        .map(|&late| Duration::from_nanos(late.max(0) as u64))
        .collect();
    Outcome {
        ops: tasks,
        right: late_ns[0] >= 0,
        used,
        figures: latency_figures(&late),
    }
}
