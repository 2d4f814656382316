//! Around topics: middleware that can change everything, and break nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sedge_actors::PluginSpec;
use sedge_plugin::BoxFuture;
use sedge_plugin::prelude::*;
use sedge_plugin::topic::Around;
use sedge_plugin::topics::Failure;

use super::puppet::{S, subscriber, told, watched};
use super::support::id;

type Answered = Result<String, String>;

/// Wrapped by tests.
struct Brew;
impl Topic for Brew {
    type Message = String;
    type Answer = Answered;
    type Kind = Around;
    const NAME: &'static str = "brew";
    const DOC: &'static str = "Fired by a test.";
}

type Outcome = Result<Answered, PluginError>;
type Wrap = Arc<dyn Fn(String, Next<Brew>) -> BoxFuture<'static, Outcome> + Send + Sync>;

fn wrap<F: Future<Output = Outcome> + Send + 'static>(
    does: impl Fn(String, Next<Brew>) -> F + Send + Sync + 'static,
) -> Wrap {
    Arc::new(move |message, next| Box::pin(does(message, next)))
}

/// Writes its letter into what goes in and what comes out.
fn letter(letter: char) -> Wrap {
    wrap(move |message, next| async move {
        let answer = next.run(format!("{message}{letter}")).await?;
        Ok(answer.map(|text| format!("{letter}({text})")))
    })
}

subscriber!(Wrapper, (Options, Wrap), |hooks, args| {
    let wrap = args.1.clone();
    hooks.around::<Brew>(args.0.clone(), move |message, next| wrap(message, next));
});

struct Brewed {
    answer: Outcome,
    /// How often the core ran.
    runs: u32,
    errors: Vec<Failure>,
    took: Duration,
}

/// Fires the topic; the core takes that long and fails for an empty message. Each wrapper has a second.
async fn brew(wraps: Vec<(i32, Wrap)>, core_takes: Duration) -> Brewed {
    let specs = wraps.into_iter().enumerate().map(|(n, (priority, wrap))| {
        let options = Options { deadline: S, ..Options::priority(priority) };
        PluginSpec::new::<Wrapper>(id(&format!("w-{n}")), (options, wrap))
    });
    let (node, mut errors) = watched(specs.collect()).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let began = tokio::time::Instant::now();
    let answer = node.bus().around::<Brew>("in.".into(), move |message| {
        Box::pin(async move {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(core_takes).await;
            if message.is_empty() {
                Err("nothing in the pot".into())
            } else {
                Ok(format!("tea of {message}"))
            }
        })
    });
    let answer = answer.await;
    let took = began.elapsed();
    node.stop().await;
    Brewed { answer, runs: runs.load(Ordering::SeqCst), errors: told(&mut errors), took }
}

#[tokio::test(start_paused = true)]
async fn wrappers_wrap_in_the_order_of_their_priority() {
    let brewed = brew(vec![(3, letter('c')), (1, letter('a')), (2, letter('b'))], S).await;
    assert_eq!(brewed.answer, Ok(Ok("a(b(c(tea of in.abc)))".into())));
    assert_eq!((brewed.runs, brewed.errors.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_wrapper_the_core_runs_by_itself() {
    let brewed = brew(vec![], S).await;
    assert_eq!((brewed.answer, brewed.runs), (Ok(Ok("tea of in.".into())), 1));
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_may_change_what_goes_in_what_comes_out_and_an_error() {
    let empties = wrap(|_, next| async move { next.run(String::new()).await });
    let brewed = brew(vec![(1, empties.clone())], S).await;
    assert_eq!(brewed.answer, Ok(Err("nothing in the pot".into())));
    let consoles = wrap(|message, next| async move {
        Ok(next.run(message).await?.or_else(|error| Ok(format!("water, for {error}"))))
    });
    let brewed = brew(vec![(1, consoles), (2, empties)], S).await;
    assert_eq!(brewed.answer, Ok(Ok("water, for nothing in the pot".into())));
    assert_eq!(brewed.errors, []);
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_may_answer_without_calling_on() {
    let cache = wrap(|_, _| async { Ok(Ok("yesterday's".into())) });
    let brewed = brew(vec![(1, letter('a')), (2, cache), (3, letter('b'))], S).await;
    assert_eq!((brewed.answer, brewed.runs), (Ok(Ok("a(yesterday's)".into())), 0));
    assert_eq!(brewed.errors, []);
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_that_fails_panics_or_hangs_is_skipped_and_the_core_runs_once() {
    let lazily_before: [(&str, Wrap); 4] = [
        ("it broke", wrap(|_, _| async { Err(PluginError::failed("it broke")) })),
        ("panicked: early", wrap(|_, _| async { panic!("early") })),
        ("within 1s", wrap(|_, _| std::future::pending())),
        ("panicked: at once", Arc::new(|_, _| panic!("at once"))),
    ];
    let after: [(&str, Wrap); 3] = [
        ("it broke", wrap(|m, next| async { next.run(m).await.and(Err(PluginError::failed("it broke"))) })),
        ("panicked: late", wrap(|m, next| async { panic!("late: {:?}", next.run(m).await) })),
        (
            "within 1s",
            wrap(|m, next| async {
                let _ = next.run(m).await;
                std::future::pending().await
            }),
        ),
    ];
    for (why, broken) in lazily_before.into_iter().chain(after) {
        let brewed = brew(vec![(1, letter('a')), (2, broken), (3, letter('b'))], 10 * S).await;
        assert_eq!(brewed.answer, Ok(Ok("a(b(tea of in.ab))".into())), "{why}");
        assert_eq!(brewed.runs, 1, "{why}");
        let [error] = &brewed.errors[..] else { panic!("{why}: {:?}", brewed.errors) };
        assert_eq!((error.plugin.as_str(), error.what.as_str()), ("w-1", "brew"));
        assert!(error.error.contains(why), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_what_is_wrapped_is_not_the_wrappers() {
    let brewed = brew(vec![(1, letter('a')), (2, letter('b'))], 600 * S).await;
    assert_eq!(brewed.answer, Ok(Ok("a(b(tea of in.ab))".into())));
    assert_eq!(brewed.errors, []);
    // Half its time before, a little less than half after: within its deadline. Twice the half and more: not.
    let slow = |after: Duration| {
        wrap(move |m, next| async move {
            tokio::time::sleep(S / 2).await;
            let answer = next.run(m).await;
            tokio::time::sleep(after).await;
            answer.map(|_| Ok("slowly".into()))
        })
    };
    let brewed = brew(vec![(1, slow(S / 4))], 600 * S).await;
    assert_eq!(brewed.answer, Ok(Ok("slowly".into())));
    let brewed = brew(vec![(1, slow(S))], 600 * S).await;
    assert_eq!((brewed.answer, brewed.runs), (Ok(Ok("tea of in.".into())), 1));
    assert!(brewed.took < 602 * S, "{:?}", brewed.took);
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_that_drops_the_rest_halfway_is_an_error_and_the_core_is_not_run_again() {
    let gives_up = wrap(|message, next| async move {
        tokio::select! {
            answer = next.run(message) => answer,
            () = tokio::time::sleep(S / 10) => Err(PluginError::failed("too slow for me")),
        }
    });
    let brewed = brew(vec![(1, letter('a')), (2, gives_up)], 10 * S).await;
    let error = brewed.answer.unwrap_err().to_string();
    assert_eq!(error, "`w-1` gave it up halfway: too slow for me");
    assert_eq!(brewed.runs, 1);
    // The one outside passed the error on, which is no failure of its own.
    let whose: Vec<_> = brewed.errors.iter().map(|failure| failure.plugin.as_str()).collect();
    assert_eq!(whose, ["w-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_that_drops_the_rest_halfway_and_then_hangs_has_its_deadline_all_the_same() {
    let hangs = wrap(|message, next| async move {
        let _ = tokio::time::timeout(S / 10, next.run(message)).await;
        std::future::pending().await
    });
    let brewed = tokio::time::timeout(60 * S, brew(vec![(1, hangs)], 10 * S)).await.expect("it ends");
    assert!(brewed.answer.unwrap_err().to_string().contains("gave it up halfway"));
    assert_eq!(brewed.runs, 1);
    assert!(brewed.took < 2 * S, "{:?}", brewed.took);
}

#[tokio::test(start_paused = true)]
async fn what_a_wrapper_keeps_of_the_rest_is_worth_nothing_once_it_was_left_out() {
    let kept = Arc::new(std::sync::Mutex::new(None));
    let keeps = {
        let kept = kept.clone();
        wrap(move |_, next| {
            *kept.lock().unwrap() = Some(next);
            async { Err(PluginError::failed("keeps it for later")) }
        })
    };
    let brewed = brew(vec![(1, keeps)], S).await;
    assert_eq!((brewed.answer, brewed.runs), (Ok(Ok("tea of in.".into())), 1));
    let later = kept.lock().unwrap().take().unwrap();
    assert!(later.run("again".into()).await.is_err());
}
