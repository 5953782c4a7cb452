//! A server that plays a judge: chat completions over plain HTTP/1.1, one connection a call, each reply made by the
//! test, faults included.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// One call as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Calls before this one.
    pub n: usize,
    /// Calls with the same message before this one.
    pub nth: usize,
    /// The user message.
    pub message: String,
    pub path: String,
    pub authorization: String,
    pub body: Value,
}

/// What is sent back.
#[derive(Debug, Clone)]
pub struct Said {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// How long it takes.
    pub delay: Duration,
    /// Whether the connection ends in the middle of the body.
    pub cut: bool,
}

impl Said {
    /// A chat completion of that text.
    pub fn text(content: &str) -> Self {
        let body = json!({
            "model": "served",
            "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 2},
        });
        Self::raw(200, &body.to_string())
    }

    pub fn raw(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
            delay: Duration::ZERO,
            cut: false,
        }
    }

    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// A running server; it ends with the test.
pub struct JudgeServer {
    pub url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    asked: Vec<Asked>,
    by_message: HashMap<String, usize>,
    in_flight: usize,
    most_in_flight: usize,
}

impl JudgeServer {
    pub fn start(reply: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let reply: Arc<dyn Fn(&Asked) -> Said + Send + Sync> = Arc::new(reply);
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, reply) = (Arc::clone(&kept), Arc::clone(&reply));
                // A client that was killed in the middle is none of our business.
                std::thread::spawn(move || drop(serve(stream, &seen, reply.as_ref())));
            }
        });
        Self { url, seen }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().asked.clone()
    }

    pub fn most_in_flight(&self) -> usize {
        self.seen.lock().unwrap().most_in_flight
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Seen>, reply: &dyn Fn(&Asked) -> Said) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut authorization) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => authorization = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body)?;
    let message = body
        .pointer("/messages/0/content")
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned();
    let asked = {
        let mut seen = seen.lock().unwrap();
        let count = seen.by_message.entry(message.clone()).or_default();
        *count += 1;
        let nth = *count - 1;
        let asked = Asked {
            n: seen.asked.len(),
            nth,
            message,
            path,
            authorization,
            body,
        };
        seen.asked.push(asked.clone());
        seen.in_flight += 1;
        seen.most_in_flight = seen.most_in_flight.max(seen.in_flight);
        asked
    };
    let said = reply(&asked);
    std::thread::sleep(said.delay);
    seen.lock().unwrap().in_flight -= 1;
    let mut head = format!(
        "HTTP/1.1 {} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n",
        said.status,
        said.body.len()
    );
    for (name, value) in &said.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    let sent = if said.cut { said.body.len() / 2 } else { said.body.len() };
    stream.write_all(&said.body.as_bytes()[..sent])
}
