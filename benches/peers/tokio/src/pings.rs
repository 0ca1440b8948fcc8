// SPDX-License-Identifier: Apache-2.0
//
//! Pairs of tasks that ask and answer once; and pings that come in while other tasks keep all workers busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::command::Outcome;
use crate::measure::{latency_figures, measure};

async fn ask(question: u64) -> u64 {
    let (question_sender, question_receiver) = oneshot::channel();
    let (answer_sender, answer_receiver) = oneshot::channel();
    tokio::spawn(async move {
        if let Ok(question) = question_receiver.await {
            let _ = answer_sender.send(question + 1);
        }
    });
    match question_sender.send(question) {
        Ok(()) => answer_receiver.await.unwrap_or(0),
        Err(_) => 0,
    }
}

pub fn ping_pong(runtime: &Runtime, _workers: usize, rounds: u64) -> Outcome {
    const PAIRS: u64 = 1000;
    let root = async move {
        let mut sum = 0;
        let mut pairs = Vec::with_capacity(PAIRS as usize);
        for _ in 0..rounds {
            pairs.extend((0..PAIRS).map(|i| tokio::spawn(ask(i))));
            for pair in pairs.drain(..) {
                sum += pair.await.expect("no task panics");
            }
        }
        sum
    };
    let (sum, used) = measure(|| runtime.block_on(runtime.spawn(root)).expect("no panic"));
    Outcome {
        ops: rounds * PAIRS,
        right: sum == rounds * (PAIRS * (PAIRS + 1) / 2),
        used,
        figures: vec![],
    }
}

const SLICE: Duration = Duration::from_micros(20);

/// Computes until 20 us have passed.
fn compute_slice() {
    let start = Instant::now();
    while start.elapsed() < SLICE {}
}

/// Tokio has no priorities: all tasks are alike, and the pings show what that means. Slices are counted, not timed: one
/// that the kernel interrupts takes longer by the clock, but has not computed for longer.
pub fn priority(runtime: &Runtime, workers: usize, ping_count: u64) -> Outcome {
    const LOW_TASKS_PER_WORKER: usize = 100;
    const PING_INTERVAL: Duration = Duration::from_millis(1);
    let stop = Arc::new(AtomicBool::new(false));
    let ((delays, slices), used) = measure(|| {
        let low_count = LOW_TASKS_PER_WORKER * workers;
        let (started_sender, started) = std::sync::mpsc::channel();
        let low_tasks: Vec<_> = (0..low_count)
            .map(|_| {
                let (stop, started_sender) = (stop.clone(), started_sender.clone());
                runtime.spawn(async move {
                    compute_slice();
                    let mut slices = 1;
                    drop(started_sender);
                    while !stop.load(Ordering::Relaxed) {
                        tokio::task::yield_now().await;
                        compute_slice();
                        slices += 1;
                    }
                    slices
                })
            })
            .collect();
        drop(started_sender);
        // The channel is closed by the last task that has started: nothing is ever sent.
        let _: Result<(), _> = started.recv();

        let mut due = Instant::now();
        let mut pings = Vec::with_capacity(ping_count as usize);
        for _ in 0..ping_count {
            due += PING_INTERVAL;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let ready = Instant::now();
            pings.push(runtime.spawn(async move { ready.elapsed() }));
        }
        runtime.block_on(async {
            let mut delays = Vec::with_capacity(pings.len());
            for ping in pings {
                delays.push(ping.await.expect("no task panics"));
            }
            stop.store(true, Ordering::Relaxed);
            let mut slices: u32 = 0;
            for task in low_tasks {
                slices += task.await.expect("no task panics");
            }
            (delays, slices)
        })
    });
    let mut sorted = delays;
    sorted.sort();
    let mut figures = latency_figures(&sorted);
    let low_share = (SLICE * slices).as_secs_f64() / (used.wall_s * workers as f64);
    figures.push(("low_share", low_share));
    Outcome {
        ops: ping_count,
        right: sorted.len() == ping_count as usize && slices > 0,
        used,
        figures,
    }
}
