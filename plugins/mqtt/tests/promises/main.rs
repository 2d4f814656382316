//! What the bridge and the caller's side promise, kept with the embedded broker and with Mosquitto.

mod bridge;
mod calls;
mod discovery;
mod fleet;
mod foreign;
mod golden;
mod outage;
mod remote;
mod sessions;
mod signed;
mod support;

/// Each promise is kept with both brokers.
macro_rules! with_both_brokers {
    ($($promise:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $promise() {
                let kind = crate::support::brokers::Kind::Embedded;
                super::$promise(crate::support::brokers::Broker::start(kind).await.unwrap()).await;
            })*
        }
        mod mosquitto {
            $(#[tokio::test]
            async fn $promise() {
                let kind = crate::support::brokers::Kind::Mosquitto;
                if let Some(broker) = crate::support::brokers::Broker::start(kind).await {
                    super::$promise(broker).await;
                }
            })*
        }
    };
}
pub(crate) use with_both_brokers;
