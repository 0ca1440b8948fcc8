// SPDX-License-Identifier: Apache-2.0
//
//! The echo server on Tokio. See benches/echo/server.h for what servers have in common.

use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const USAGE: &str = "usage: tokio_echo [--workers N] [--hog]";
const BUFFER: usize = 1024;
const BACKLOG: u32 = 4096;

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0u8; BUFFER];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(echo(stream));
    }
}

/// Keeps a worker for 100 ms at a time.
async fn hog() {
    loop {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(100) {}
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn parse() -> Option<(usize, bool)> {
    let (mut workers, mut hogs) = (2, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--hog" => hogs = true,
            "--workers" => {
                workers = arguments.next()?.parse().ok()?;
                if !(1..=1024).contains(&workers) {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some((workers, hogs))
}

fn main() -> ExitCode {
    let (workers, hogs) = match parse() {
        Some(options) => options,
        None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("the runtime starts");
    let guard = runtime.enter();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    let listener = socket.listen(BACKLOG).expect("listens");
    println!(
        "listening on {}",
        listener.local_addr().expect("is bound").port()
    );
    drop(guard);
    runtime.spawn(serve(listener));
    if hogs {
        runtime.spawn(hog());
    }
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0)
}
