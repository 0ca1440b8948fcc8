// SPDX-License-Identifier: Apache-2.0
//
//! Tasks that do nothing: spawned and joined by one task, spawned by a thread outside, each spawned by the one before;
//! tasks that only yield; and closures that do nothing on the blocking pool.
//!
//! block_on runs its future on this thread, which is no worker. So what is measured on the runtime is spawned first.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::command::Outcome;
use crate::measure::measure;

pub fn spawn_join(runtime: &Runtime, _workers: usize, tasks: u64) -> Outcome {
    const BATCH: u64 = 1000;
    let root = async move {
        let mut sum = 0;
        let mut handles = Vec::with_capacity(BATCH as usize);
        let mut left = tasks;
        while left > 0 {
            let batch = left.min(BATCH);
            handles.extend((0..batch).map(|_| tokio::spawn(async { 1 })));
            for handle in handles.drain(..) {
                sum += handle.await.expect("no task panics");
            }
            left -= batch;
        }
        sum
    };
    let (sum, used) = measure(|| runtime.block_on(runtime.spawn(root)).expect("no panic"));
    Outcome {
        ops: tasks,
        right: sum == tasks,
        used,
        figures: vec![],
    }
}

pub fn spawn_external(runtime: &Runtime, _workers: usize, tasks: u64) -> Outcome {
    struct Countdown {
        left: AtomicU64,
        end: tokio::sync::Semaphore,
    }
    // Leaked: tasks borrow only what lives for ever, and an Arc would count its owners at each spawn and each end. The
    // other programs' tasks have a pointer.
    let countdown: &'static Countdown = Box::leak(Box::new(Countdown {
        left: AtomicU64::new(tasks),
        end: tokio::sync::Semaphore::new(0),
    }));
    let ((), used) = measure(|| {
        for _ in 0..tasks {
            runtime.spawn(async move {
                if countdown.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    countdown.end.add_permits(1);
                }
            });
        }
        let _permit = runtime.block_on(countdown.end.acquire()).expect("open");
    });
    Outcome {
        ops: tasks,
        right: countdown.left.load(Ordering::Acquire) == 0,
        used,
        figures: vec![],
    }
}

pub fn chained_spawn(runtime: &Runtime, _workers: usize, length: u64) -> Outcome {
    fn spawn_link(links: u64, length: u64, end: oneshot::Sender<u64>) {
        tokio::spawn(async move {
            let links = links + 1;
            if links == length {
                end.send(links).expect("the root waits");
            } else {
                spawn_link(links, length, end);
            }
        });
    }
    let root = async move {
        let (end, ended) = oneshot::channel();
        spawn_link(0, length, end);
        ended.await.expect("the last link sends")
    };
    let (links, used) = measure(|| runtime.block_on(runtime.spawn(root)).expect("no panic"));
    Outcome {
        ops: length,
        right: links == length,
        used,
        figures: vec![],
    }
}

pub fn yield_row(runtime: &Runtime, _workers: usize, times: u64) -> Outcome {
    const TASKS: u64 = 1000;
    let root = async move {
        let yields = || async move {
            let mut yields = 0;
            while yields < times {
                tokio::task::yield_now().await;
                yields += 1;
            }
            yields
        };
        let handles: Vec<_> = (0..TASKS).map(|_| tokio::spawn(yields())).collect();
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.expect("no task panics");
        }
        sum
    };
    let (sum, used) = measure(|| runtime.block_on(runtime.spawn(root)).expect("no panic"));
    Outcome {
        ops: TASKS * times,
        right: sum == TASKS * times,
        used,
        figures: vec![],
    }
}

pub fn spawn_blocking(runtime: &Runtime, _workers: usize, jobs: u64) -> Outcome {
    const BATCH: u64 = 100;
    let root = async move {
        let mut sum = 0;
        let mut handles = Vec::with_capacity(BATCH as usize);
        let mut left = jobs;
        while left > 0 {
            let batch = left.min(BATCH);
            handles.extend((0..batch).map(|_| tokio::task::spawn_blocking(|| 1)));
            for handle in handles.drain(..) {
                sum += handle.await.expect("no closure panics");
            }
            left -= batch;
        }
        sum
    };
    let (sum, used) = measure(|| runtime.block_on(runtime.spawn(root)).expect("no panic"));
    Outcome {
        ops: jobs,
        right: sum == jobs,
        used,
        figures: vec![],
    }
}
