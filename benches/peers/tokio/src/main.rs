// SPDX-License-Identifier: Apache-2.0
//
//! The rows of the scheduler comparison on Tokio: benches/README.md says what each one does.

mod channels;
mod command;
mod measure;
mod pings;
mod sleeps;
mod spawns;
mod trees;

use std::process::ExitCode;

use command::{Command, Row, Sizes};
use tokio::runtime::{Builder, Runtime};

const ROWS: &[Row] = &[
    Row {
        name: "spawn_join",
        size_is: "tasks",
        sizes: Sizes::of_tasks(),
        run: spawns::spawn_join,
    },
    Row {
        name: "spawn_external",
        size_is: "tasks",
        sizes: Sizes::of_tasks(),
        run: spawns::spawn_external,
    },
    Row {
        name: "chained_spawn",
        size_is: "tasks",
        sizes: Sizes::of_tasks(),
        run: spawns::chained_spawn,
    },
    Row {
        name: "skynet_spawn",
        size_is: "depth of the tree",
        sizes: Sizes {
            full: 6,
            warm_up: 4,
            smoke: 3,
            min: 0,
            max: 9,
        },
        run: trees::skynet_spawn,
    },
    Row {
        name: "fib_spawn",
        size_is: "which number",
        sizes: Sizes {
            full: 27,
            warm_up: 18,
            smoke: 10,
            min: 0,
            max: 60,
        },
        run: trees::fib_spawn,
    },
    Row {
        name: "yield",
        size_is: "yields of each of 1000 tasks",
        sizes: Sizes::of_rounds(10),
        run: spawns::yield_row,
    },
    Row {
        name: "ping_pong",
        size_is: "rounds of 1000 pairs",
        sizes: Sizes::of_rounds(3),
        run: pings::ping_pong,
    },
    Row {
        name: "mpsc_1_1",
        size_is: "messages",
        sizes: Sizes::of_messages(),
        run: channels::mpsc_1_1,
    },
    Row {
        name: "mpsc_4_1",
        size_is: "messages",
        sizes: Sizes::of_messages(),
        run: channels::mpsc_4_1,
    },
    Row {
        name: "mutex",
        size_is: "locks by each of 64 tasks",
        sizes: Sizes {
            full: 100_000,
            warm_up: 10_000,
            smoke: 100,
            min: 1,
            max: 10_000_000,
        },
        run: channels::mutex,
    },
    Row {
        name: "spawn_blocking",
        size_is: "closures",
        sizes: Sizes {
            full: 200_000,
            warm_up: 20_000,
            smoke: 500,
            min: 1,
            max: 100_000_000,
        },
        run: spawns::spawn_blocking,
    },
    Row {
        name: "timers",
        size_is: "tasks that sleep",
        sizes: Sizes {
            full: 1_000_000,
            warm_up: 10_000,
            smoke: 1_000,
            min: 1,
            max: 10_000_000,
        },
        run: sleeps::timers,
    },
    Row {
        name: "priority",
        size_is: "pings, one a millisecond",
        sizes: Sizes {
            full: 2000,
            warm_up: 100,
            smoke: 20,
            min: 1,
            max: 1_000_000,
        },
        run: pings::priority,
    },
];

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("the runtime starts")
}

fn main() -> ExitCode {
    let (row, size, workers) = match command::parse(ROWS, std::env::args().skip(1)) {
        Ok(Command::Run(row, size, workers)) => (row, size, workers),
        Ok(Command::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("tokio_rows: {why}\n{}", command::USAGE);
            return ExitCode::from(command::EXIT_USAGE);
        }
    };
    let runtime = runtime(workers);
    let warm_up = (row.run)(&runtime, workers, size.min(row.sizes.warm_up));
    if warm_up.right {
        let outcome = (row.run)(&runtime, workers, size);
        if outcome.right {
            println!("{}", command::json(row, size, workers, &outcome));
            return ExitCode::SUCCESS;
        }
    }
    eprintln!("tokio_rows: {}: wrong answer", row.name);
    ExitCode::from(command::EXIT_WRONG_ANSWER)
}
