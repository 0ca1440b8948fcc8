// SPDX-License-Identifier: Apache-2.0
//
//! Many values through one channel with room for 1024; and many tasks that fight for one lock.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, Mutex};

use crate::command::Outcome;
use crate::measure::measure;

fn pass(runtime: &Runtime, messages: u64, producers: u64) -> Outcome {
    const CAPACITY: usize = 1024;
    let root = async move {
        let (sender, mut receiver) = mpsc::channel::<u64>(CAPACITY);
        let consumer = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(value) = receiver.recv().await {
                sum += value;
            }
            sum
        });
        for i in 0..producers {
            let sender = sender.clone();
            tokio::spawn(async move {
                for value in messages * i / producers..messages * (i + 1) / producers {
                    if sender.send(value).await.is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        consumer.await.expect("no task panics")
    };
    let (sum, used): (u64, _) =
        measure(|| runtime.block_on(runtime.spawn(root)).expect("no panic"));
    Outcome {
        ops: messages,
        right: sum == messages * (messages - 1) / 2,
        used,
        figures: vec![],
    }
}

pub fn mpsc_1_1(runtime: &Runtime, _workers: usize, messages: u64) -> Outcome {
    pass(runtime, messages, 1)
}

pub fn mpsc_4_1(runtime: &Runtime, _workers: usize, messages: u64) -> Outcome {
    pass(runtime, messages, 4)
}

pub fn mutex(runtime: &Runtime, _workers: usize, times: u64) -> Outcome {
    const LOCKERS: u64 = 64;
    let root = async move {
        let counter = Arc::new(Mutex::new(0));
        let lockers: Vec<_> = (0..LOCKERS)
            .map(|_| {
                let counter = counter.clone();
                tokio::spawn(async move {
                    for _ in 0..times {
                        *counter.lock().await += 1;
                    }
                })
            })
            .collect();
        for locker in lockers {
            locker.await.expect("no task panics");
        }
        let locks = *counter.lock().await;
        locks
    };
    let (locks, used) = measure(|| runtime.block_on(runtime.spawn(root)).expect("no panic"));
    Outcome {
        ops: LOCKERS * times,
        right: locks == LOCKERS * times,
        used,
        figures: vec![],
    }
}
