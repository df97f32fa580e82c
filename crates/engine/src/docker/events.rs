//! The engine's events, as hints. Events may be late, duplicated or missing, so a receiver must look at the list.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};

use super::{DEADLINE, DockerEngine, KnownNetworks};
use crate::error::EngineError;
use crate::identity::APP;
use crate::port::Event;

const CONTAINER_EVENTS: [&str; 11] =
    ["create", "start", "die", "stop", "oom", "kill", "destroy", "update", "pause", "unpause", "rename"];
const NETWORK_EVENTS: [&str; 3] = ["connect", "disconnect", "destroy"];

impl DockerEngine {
    pub(super) async fn watch(&self) -> Result<BoxStream<'static, Event>, EngineError> {
        // The requests go out at the first poll. `since` also asks for the events before that, so that a caller who
        // subscribes and then lists misses nothing in between.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = format!("{}.{:09}", since.as_secs(), since.subsec_nanos());
        // Without this check, an engine that is down would look like one that has no events.
        self.call("events", DEADLINE, self.docker.ping()).await?;
        self.list_networks().await?;
        let mut filters = self.installation_filter();
        filters.insert("type", vec!["container".into()]);
        filters.insert("event", CONTAINER_EVENTS.map(String::from).into());
        // Network events carry no labels. So the engine sends those of all networks, and we drop those of other owners.
        let networks =
            HashMap::from([("type", vec!["network".to_owned()]), ("event", NETWORK_EVENTS.map(String::from).into())]);
        let known = self.known_networks.clone();
        let of_containers = self.raw_events(&filters, &since).map(|message| message.map(container_event));
        let of_networks =
            self.raw_events(&networks, &since).map(move |message| message.map(|m| network_event(m, &known)));
        // When one of the two streams ends, the combined stream ends.
        let events = futures::stream::select(of_containers, of_networks)
            .take_while(|item| std::future::ready(item.is_some()))
            .filter_map(|item| std::future::ready(item.flatten()));
        Ok(events.boxed())
    }

    /// The events as they arrive, then one `None` when the connection ends.
    fn raw_events(
        &self,
        filters: &HashMap<&'static str, Vec<String>>,
        since: &str,
    ) -> impl Stream<Item = Option<EventMessage>> + Send + use<> {
        let options = EventsOptionsBuilder::default().filters(filters).since(since).build();
        let messages = self.docker.events(Some(options)).map(Result::ok);
        messages.chain(futures::stream::once(std::future::ready(None)))
    }
}

fn container_event(message: EventMessage) -> Option<Event> {
    let actor = message.actor?;
    let mut attributes = actor.attributes.unwrap_or_default();
    Some(Event {
        app: attributes.remove(APP).unwrap_or_default(),
        exit_code: attributes.remove("exitCode").and_then(|code| code.parse().ok()),
        container: attributes.remove("name").or(actor.id)?,
        action: message.action?,
    })
}

/// The container is an id here, and empty if the event concerns the whole network.
fn network_event(message: EventMessage, known: &KnownNetworks) -> Option<Event> {
    let actor = message.actor?;
    let app = known.app(&actor.id?)?;
    let container = actor.attributes.and_then(|mut attributes| attributes.remove("container")).unwrap_or_default();
    Some(Event { app, container, action: format!("network {}", message.action?), exit_code: None })
}
