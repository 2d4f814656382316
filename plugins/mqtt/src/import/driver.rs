//! The connection of one section: opens one [`Link`] after the other, hands over what comes, and sends calls.
//!
//! What is heard goes through a bounded queue to whoever makes readings of it. Where that one is slow, nothing more is read
//! from the broker until there is room: the broker waits, and nothing is dropped here. Calls do not stand in that queue.

use std::collections::{HashMap, VecDeque};

use sedge_plugin::{Context, ToolErrorCode};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::calls::{Asked, Calls, Who};
use crate::backoff::Backoff;
use crate::choice::Choice;
use crate::link::{Ack, Fault, Incoming, Limits, Link, LinkEvent, LinkOptions};
use crate::wire::{ONLINE, Place};

/// How long after the last subscription what is retained may still come.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(5);

/// What happens on the connection.
#[derive(Debug)]
pub(super) enum News {
    /// Connected; what is retained follows.
    Up,
    /// What is retained has come.
    Settled,
    /// Not connected, and why.
    Down(String),
    /// The broker does not let us read all that we asked for.
    Refused(String),
    /// A message.
    Message(Incoming),
}

pub(super) struct Driver {
    pub(super) ctx: Context,
    /// To which broker, the choice says.
    pub(super) options: LinkOptions,
    pub(super) choice: Choice,
    pub(super) filters: Vec<String>,
    pub(super) who: Who,
    pub(super) backoff: Backoff,
    pub(super) calls: mpsc::Receiver<Asked>,
    pub(super) news: mpsc::Sender<News>,
}

/// What is known of the link that is open.
struct Course {
    limits: Limits,
    /// Subscriptions that were not answered yet.
    asked: VecDeque<String>,
    /// Calls on their way, by token.
    sent: HashMap<u64, Vec<u8>>,
    last: u64,
}

impl Driver {
    /// Runs until nobody hears the news any more.
    pub(super) async fn run(mut self) {
        let mut told = String::new();
        loop {
            self.options.broker = self.choice.current().clone();
            let mut link = Link::open(&self.options);
            let fault = self.serve(&mut link, &mut told).await;
            drop(link);
            self.choice.next();
            let text = fault.to_string();
            if text != told {
                warn!(remote = %self.ctx.id(), error = %text, "No connection to the broker of a remote node.");
                told.clone_from(&text);
            }
            if self.news.send(News::Down(text)).await.is_err() {
                return;
            }
            let wait = match fault {
                Fault::Login(_) | Fault::TakenOver(_) | Fault::Unsteady { .. } => self.backoff.slow(),
                _ => self.backoff.next(),
            };
            let pause = self.ctx.sleep(wait);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    asked = self.calls.recv() => match asked {
                        Some(asked) => asked.refuse(ToolErrorCode::Unavailable, format!("no connection: {told}")),
                        None => return,
                    },
                }
            }
        }
    }

    async fn serve(&mut self, link: &mut Link, told: &mut String) -> Fault {
        let mut calls = Calls::default();
        let fault = self.serve_with(link, &mut calls, told).await;
        calls.lost(None, "the connection to the broker was lost");
        fault
    }

    async fn serve_with(&mut self, link: &mut Link, calls: &mut Calls, told: &mut String) -> Fault {
        let limits = loop {
            tokio::select! {
                event = link.next() => match event {
                    LinkEvent::Up(limits) => break limits,
                    LinkEvent::Down(fault) => return fault,
                    _ => {}
                },
                Some(asked) = self.calls.recv() => {
                    asked.refuse(ToolErrorCode::Unavailable, "the connection to the broker is being made");
                }
            }
        };
        if !told.is_empty() {
            info!(remote = %self.ctx.id(), "Connected to the broker of a remote node again.");
            told.clear();
        }
        let mut course = Course { limits, asked: VecDeque::new(), sent: HashMap::new(), last: 0 };
        for filter in [self.who.replies()].iter().chain(&self.filters) {
            link.subscribe(filter);
            course.asked.push_back(filter.clone());
        }
        let mut waiting = VecDeque::from([News::Up]);
        let mut settled: sedge_plugin::BoxFuture<'static, ()> = Box::pin(std::future::pending());
        loop {
            let event = tokio::select! {
                room = self.news.reserve(), if !waiting.is_empty() => {
                    let Ok(room) = room else { return Fault::Lost("nobody listens any more".into()) };
                    if let Some(news) = waiting.pop_front() {
                        room.send(news);
                    }
                    continue;
                }
                asked = self.calls.recv() => {
                    match asked {
                        Some(asked) => call(link, calls, &mut course, asked),
                        None => return Fault::Lost("nobody calls any more".into()),
                    }
                    continue;
                }
                () = &mut settled => {
                    settled = Box::pin(std::future::pending());
                    self.backoff.reset();
                    waiting.push_back(News::Settled);
                    continue;
                }
                // Only while what came before has found room.
                event = link.next(), if waiting.is_empty() => event,
            };
            match event {
                LinkEvent::Message(message) => waiting.extend(self.take(calls, message)),
                LinkEvent::Subscribed(granted) => {
                    let filter = course.asked.pop_front().unwrap_or_default();
                    if !granted {
                        waiting
                            .push_back(News::Refused(format!("the broker does not let it read `{filter}`")));
                    }
                    if course.asked.is_empty() {
                        let ctx = self.ctx.clone();
                        settled = Box::pin(async move { ctx.sleep(SETTLE).await });
                    }
                }
                LinkEvent::Answered(token, ack) => answered(calls, &mut course, token, ack),
                LinkEvent::Down(fault) => return fault,
                LinkEvent::Parted => return Fault::Lost("parted".into()),
                LinkEvent::Up(_) => {}
            }
        }
    }

    /// Keeps the answers to calls; the rest is for others.
    fn take(&self, calls: &mut Calls, message: Incoming) -> Option<News> {
        match self.who.base.place(&message.topic) {
            Some(Place::Reply(..)) => {
                calls.answered(message);
                return None;
            }
            Some(Place::Status(node)) if message.payload != ONLINE.as_bytes() => {
                calls.lost(Some(&node), "the node went away");
            }
            Some(_) => {}
            None => debug!(topic = message.topic, "A topic of nobody."),
        }
        Some(News::Message(message))
    }
}

fn call(link: &mut Link, calls: &mut Calls, course: &mut Course, asked: Asked) {
    let limit = course.limits.max_packet_bytes;
    if asked.message.size() > limit {
        let text = format!("the call is larger than the {limit} bytes that the broker takes");
        return asked.refuse(ToolErrorCode::BadArgs, text);
    }
    if course.sent.len() >= course.limits.window || !calls.has_room() {
        return asked.refuse(ToolErrorCode::Busy, "too many calls of remote tools at once");
    }
    let Asked { node, message, progress, done } = asked;
    let key = message.correlation.clone().unwrap_or_default();
    course.last += 1;
    if link.publish(course.last, message) {
        course.sent.insert(course.last, key.clone());
        calls.sent(key, node, progress, done);
    } else {
        let error = sedge_plugin::ToolError::new(ToolErrorCode::Busy, "too much waits for the broker");
        let _ = done.send(Err(error));
    }
}

fn answered(calls: &mut Calls, course: &mut Course, token: u64, ack: Ack) {
    let Some(key) = course.sent.remove(&token) else { return };
    match ack {
        Ack::Taken => {}
        Ack::NobodyListens => calls.refused(&key, ToolErrorCode::Unavailable, |node| {
            format!("`{node}` is not connected to the broker")
        }),
        Ack::Refused(why) => calls.refused(&key, ToolErrorCode::Denied, |node| {
            format!("the broker does not let this node call tools of `{node}`: {why}")
        }),
    }
}
