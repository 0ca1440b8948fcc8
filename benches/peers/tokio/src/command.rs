// SPDX-License-Identifier: Apache-2.0
//
//! The command line and the line of JSON, the same as those of Skua's program (benches/harness/program.h).

use std::fmt::Write;

use tokio::runtime::Runtime;

use crate::measure::{peak_rss_kib, Usage};

pub const EXIT_WRONG_ANSWER: u8 = 1;
pub const EXIT_USAGE: u8 = 2;
pub const USAGE: &str = "usage: tokio_rows ROW [--size N] [--workers N]
       tokio_rows --list | --help";

const HELP: &str = "
Runs one row of the scheduler comparison on Tokio.

  --list       names the rows: name, full size, smoke size, what the size is
  --size N     instead of the full size
  --workers N  threads that run tasks; 2 unless said otherwise

Runs the row once smaller, to warm up, then once for the figures; checks the answer; prints one
line of JSON. Exit status: 0 done, 1 a wrong answer, 2 a mistake in the command line.
";

/// The sizes of a row: that of its definition, that of its warm-up, the least that still does everything.
pub struct Sizes {
    pub full: u64,
    pub warm_up: u64,
    pub smoke: u64,
    pub min: u64,
    pub max: u64,
}

impl Sizes {
    pub const fn of_tasks() -> Sizes {
        Sizes {
            full: 1_000_000,
            warm_up: 100_000,
            smoke: 2_500,
            min: 1,
            max: 100_000_000,
        }
    }

    pub const fn of_messages() -> Sizes {
        Sizes {
            full: 10_000_000,
            warm_up: 1_000_000,
            smoke: 5_000,
            min: 1,
            max: 1_000_000_000,
        }
    }

    pub const fn of_rounds(smoke: u64) -> Sizes {
        Sizes {
            full: 1000,
            warm_up: 100,
            smoke,
            min: 1,
            max: 1_000_000,
        }
    }
}

/// What a run of a row gave.
pub struct Outcome {
    pub ops: u64,
    pub right: bool,
    pub used: Usage,
    pub figures: Vec<(&'static str, f64)>,
}

pub struct Row {
    pub name: &'static str,
    pub size_is: &'static str,
    pub sizes: Sizes,
    pub run: fn(&Runtime, usize, u64) -> Outcome,
}

pub enum Command {
    Run(&'static Row, u64, usize),
    Print(String),
}

pub fn parse(
    rows: &'static [Row],
    mut arguments: impl Iterator<Item = String>,
) -> Result<Command, String> {
    let mut row: Option<&Row> = None;
    let mut size = None;
    let mut workers = 2;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Command::Print(format!("{USAGE}\n{HELP}"))),
            "--list" => return Ok(Command::Print(list(rows))),
            "--size" => size = Some(number(&argument, arguments.next())?),
            "--workers" => workers = number(&argument, arguments.next())?,
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ if row.is_some() => return Err("one row at a time".to_string()),
            name => {
                let found = rows.iter().find(|row| row.name == name);
                row = Some(found.ok_or(format!("unknown row {name}; see --list"))?);
            }
        }
    }
    let row = row.ok_or("which row? See --list")?;
    let size = size.unwrap_or(row.sizes.full);
    if size < row.sizes.min || size > row.sizes.max {
        return Err(format!(
            "the size of {} is from {} to {}",
            row.name, row.sizes.min, row.sizes.max
        ));
    }
    if !(1..=1024).contains(&workers) {
        return Err("--workers is from 1 to 1024".to_string());
    }
    Ok(Command::Run(row, size, workers as usize))
}

fn number(option: &str, value: Option<String>) -> Result<u64, String> {
    let value = value.ok_or(format!("{option} needs a value"))?;
    value
        .parse()
        .map_err(|_| format!("{option} needs a number"))
}

fn list(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let Sizes { full, smoke, .. } = row.sizes;
        writeln!(text, "{} {full} {smoke} {}", row.name, row.size_is).expect("memory");
    }
    text
}

pub fn json(row: &Row, size: u64, workers: usize, outcome: &Outcome) -> String {
    let Usage { wall_s, cpu_s } = outcome.used;
    let mut json = format!(
        r#"{{"row": "{}", "ns_per_op": {:.3}, "wall_s": {wall_s:.6}, "ops": {}, "cpu_s": {cpu_s:.6}"#,
        row.name,
        wall_s * 1e9 / outcome.ops as f64,
        outcome.ops
    );
    write!(
        json,
        r#", "max_rss_kib": {}, "size": {size}, "workers": {workers}"#,
        peak_rss_kib()
    )
    .expect("memory");
    for (name, value) in &outcome.figures {
        write!(json, r#", "{name}": {value:.4}"#).expect("memory");
    }
    json + "}"
}
