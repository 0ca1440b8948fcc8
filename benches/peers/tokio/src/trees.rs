// SPDX-License-Identifier: Apache-2.0
//
//! Trees by spawn: every child is a task of its own, and its handle is awaited.
//!
//! The recursion goes through a function that returns the handle: its tasks need no boxed future, the faster form.

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::command::Outcome;
use crate::measure::measure;

const BRANCHES: u64 = 10;

fn skynet(first: u64, leaves: u64) -> JoinHandle<u64> {
    tokio::spawn(async move {
        if leaves == 1 {
            return first;
        }
        let share = leaves / BRANCHES;
        let children: Vec<_> = (0..BRANCHES)
            .map(|i| skynet(first + i * share, share))
            .collect();
        let mut sum = 0;
        for child in children {
            sum += child.await.expect("no task panics");
        }
        sum
    })
}

pub fn skynet_spawn(runtime: &Runtime, _workers: usize, depth: u64) -> Outcome {
    let leaves = BRANCHES.pow(depth as u32);
    let (sum, used) = measure(|| {
        let root = runtime.spawn(async move { skynet(0, leaves).await.expect("no panic") });
        runtime.block_on(root).expect("no panic")
    });
    Outcome {
        ops: (leaves * BRANCHES - 1) / (BRANCHES - 1),
        right: sum == leaves * (leaves - 1) / 2,
        used,
        figures: vec![],
    }
}

fn fib(n: u64) -> JoinHandle<u64> {
    tokio::spawn(async move {
        if n < 2 {
            return n;
        }
        let (a, b) = (fib(n - 1), fib(n - 2));
        a.await.expect("no task panics") + b.await.expect("no task panics")
    })
}

fn fib_number(n: u64) -> u64 {
    (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0
}

pub fn fib_spawn(runtime: &Runtime, _workers: usize, n: u64) -> Outcome {
    let (number, used) = measure(|| {
        let root = runtime.spawn(async move { fib(n).await.expect("no panic") });
        runtime.block_on(root).expect("no panic")
    });
    Outcome {
        ops: 2 * fib_number(n + 1) - 1,
        right: number == fib_number(n),
        used,
        figures: vec![],
    }
}
