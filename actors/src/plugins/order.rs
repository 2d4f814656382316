//! In which order plugins start, and which do not start at all: found before anything runs.
//!
//! What a plugin needs starts before it. Among those that do not need each other, what hears readings starts before what
//! makes them (the order of [`Category`]), and within that the order is that of the alphabet. A plugin that needs one that
//! is not there, or itself in the end, is not started; nor is the second of two that claim one thing. Everybody else is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use sedge_plugin::Category;

use super::spec::PluginSpec;

/// One plugin, as far as the order is concerned.
#[derive(Debug, Clone)]
struct Node<'a> {
    id: &'a str,
    rank: Category,
    needs: Vec<&'a str>,
}

/// What came of it: positions in the order of start, and why some are not to start.
#[derive(Debug, PartialEq)]
struct Plan {
    order: Vec<usize>,
    barred: BTreeMap<usize, String>,
}

/// Puts plugins in their order, and bars those that cannot be started.
pub(crate) fn ordered(mut specs: Vec<PluginSpec>) -> Vec<PluginSpec> {
    let nodes: Vec<Node<'_>> = specs
        .iter()
        .map(|spec| Node {
            id: spec.id.as_str(),
            rank: spec.category,
            needs: spec.needs.iter().map(String::as_str).collect(),
        })
        .collect();
    let Plan { order, barred } = plan(&nodes);
    drop(nodes);
    for (at, reason) in barred {
        specs[at].bar(reason);
    }
    let mut places: Vec<Option<PluginSpec>> = specs.into_iter().map(Some).collect();
    let mut specs: Vec<PluginSpec> = order.into_iter().filter_map(|at| places[at].take()).collect();
    bar_conflicts(&mut specs);
    specs
}

/// The second of two that claim one thing is not started.
fn bar_conflicts(specs: &mut [PluginSpec]) {
    let mut owners: BTreeMap<(&str, String), String> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for spec in specs.iter_mut() {
        if !ids.insert(spec.id.to_string()) {
            spec.bar(format!("two plugins are called `{}`; this is the second", spec.id));
            continue;
        }
        if spec.is_barred() {
            continue;
        }
        let sensors = spec.claims.sensors.iter().map(|sensor| ("sensor", sensor.to_string()));
        let tools = spec.claims.tools.iter().map(|tool| ("tool", tool.name.to_string()));
        let claims: Vec<_> = sensors.chain(tools).collect();
        let taken = claims.iter().find_map(|claim| {
            owners.get(claim).map(|owner| format!("`{owner}` has the {} `{}` already", claim.0, claim.1))
        });
        match taken {
            Some(reason) => spec.bar(reason),
            None => owners.extend(claims.into_iter().map(|claim| (claim, spec.id.to_string()))),
        }
    }
}

fn plan(nodes: &[Node<'_>]) -> Plan {
    let by_id: BTreeMap<&str, usize> = nodes.iter().enumerate().map(|(at, node)| (node.id, at)).collect();
    let mut barred = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        if let Some(missing) = node.needs.iter().find(|need| !by_id.contains_key(*need)) {
            let near = sedge_plugin::schema::nearest(missing, by_id.keys().copied());
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            barred
                .insert(at, format!("needs `{missing}`, which is not there ({} → {missing}){hint}", node.id));
        }
    }
    let needs = |at: usize| nodes[at].needs.iter().filter_map(|need| by_id.get(need).copied());
    for at in 0..nodes.len() {
        if let Some(path) = cycle(at, &needs) {
            let path: Vec<&str> = path.into_iter().map(|at| nodes[at].id).collect();
            barred.insert(at, format!("needs itself: {}", path.join(" → ")));
        }
    }
    Plan { order: topological(nodes, &needs, &barred), barred }
}

/// The shortest way from a plugin over what it needs back to itself.
fn cycle<I: Iterator<Item = usize>>(start: usize, needs: &impl Fn(usize) -> I) -> Option<Vec<usize>> {
    let mut came_from = BTreeMap::new();
    let mut next = std::collections::VecDeque::from([start]);
    while let Some(at) = next.pop_front() {
        for need in needs(at) {
            if need == start {
                let mut path = vec![start];
                let mut back = at;
                while back != start {
                    path.push(back);
                    back = came_from[&back];
                }
                path.push(start);
                path.reverse();
                return Some(path);
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = came_from.entry(need) {
                entry.insert(at);
                next.push_back(need);
            }
        }
    }
    None
}

/// Kahn's algorithm. What is barred needs nothing any more, so that everybody has a place.
fn topological<I: Iterator<Item = usize>>(
    nodes: &[Node<'_>],
    needs: &impl Fn(usize) -> I,
    barred: &BTreeMap<usize, String>,
) -> Vec<usize> {
    let mut waiting = vec![0_usize; nodes.len()];
    let mut needed_by = vec![Vec::new(); nodes.len()];
    for at in (0..nodes.len()).filter(|at| !barred.contains_key(at)) {
        for need in needs(at).collect::<BTreeSet<_>>() {
            waiting[at] += 1;
            needed_by[need].push(at);
        }
    }
    let key = |at: usize| Reverse((nodes[at].rank, nodes[at].id, at));
    let mut ready: BinaryHeap<_> = (0..nodes.len()).filter(|&at| waiting[at] == 0).map(key).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse((_, _, at))) = ready.pop() {
        order.push(at);
        for &other in &needed_by[at] {
            waiting[other] -= 1;
            if waiting[other] == 0 {
                ready.push(key(other));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node<'a>(id: &'a str, needs: &[&'a str]) -> Node<'a> {
        Node { id, rank: Category::Other, needs: needs.to_vec() }
    }

    fn ids<'a>(nodes: &[Node<'a>], order: &[usize]) -> Vec<&'a str> {
        order.iter().map(|&at| nodes[at].id).collect()
    }

    #[test]
    fn what_is_needed_starts_first_and_equals_by_the_alphabet() {
        let nodes = [node("d", &[]), node("a", &["c"]), node("c", &[]), node("b", &[])];
        let plan = plan(&nodes);
        assert_eq!(ids(&nodes, &plan.order), ["b", "c", "a", "d"]);
        assert!(plan.barred.is_empty());
    }

    #[test]
    fn what_hears_readings_starts_before_what_makes_them() {
        let with = |id, rank| Node { id, rank, needs: Vec::new() };
        let nodes =
            [with("a", Category::Sensor), with("z", Category::Bridge), with("m", Category::Processor)];
        assert_eq!(ids(&nodes, &plan(&nodes).order), ["z", "m", "a"]);
    }

    #[test]
    fn a_cycle_bars_those_in_it_and_names_the_path() {
        let nodes =
            [node("a", &["b"]), node("b", &["c"]), node("c", &["a"]), node("d", &["a"]), node("e", &[])];
        let plan = plan(&nodes);
        assert_eq!(plan.barred[&0], "needs itself: a → b → c → a");
        assert_eq!(plan.barred[&1], "needs itself: b → c → a → b");
        assert_eq!(plan.barred.keys().copied().collect::<Vec<_>>(), [0, 1, 2], "`d` is not in it");
        assert_eq!(plan.order.len(), 5, "all have a place, so that all are listed");
    }

    #[test]
    fn a_missing_need_bars_exactly_the_one_that_has_it() {
        let nodes = [node("pump", &["tnak"]), node("tank", &[]), node("garden", &["pump"])];
        let plan = plan(&nodes);
        let reason = "needs `tnak`, which is not there (pump → tnak); did you mean `tank`?";
        assert_eq!(plan.barred, BTreeMap::from([(0, reason.to_owned())]));
    }

    proptest! {
        /// Random graphs, cycles and all.
        #[test]
        fn every_order_respects_every_need(edges in prop::collection::vec((0_usize..12, 0_usize..14), 0..40)) {
            let names: Vec<String> = (0..14).map(|n| format!("p{n:02}")).collect();
            // Twelve plugins; two more names that nobody has.
            let nodes: Vec<Node<'_>> = (0..12)
                .map(|at| {
                    let needs = edges.iter().filter(|edge| edge.0 == at).map(|edge| names[edge.1].as_str());
                    Node { id: &names[at], rank: Category::Other, needs: needs.collect() }
                })
                .collect();
            let plan = plan(&nodes);
            let mut all = plan.order.clone();
            all.sort_unstable();
            prop_assert_eq!(all, (0..12).collect::<Vec<_>>(), "everybody has one place");
            let place = |at: usize| plan.order.iter().position(|&other| other == at);
            let reaches = |from: usize, to: usize| {
                let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
                while let Some(at) = next.pop() {
                    for &(_, need) in edges.iter().filter(|edge| edge.0 == at) {
                        if need == to { return true; }
                        if need < 12 && seen.insert(need) { next.push(need); }
                    }
                }
                false
            };
            for at in 0..12 {
                let lacks = edges.iter().any(|&(from, need)| from == at && need >= 12);
                prop_assert_eq!(plan.barred.contains_key(&at), lacks || reaches(at, at), "exactly those concerned");
                if !plan.barred.contains_key(&at) {
                    for &(_, need) in edges.iter().filter(|edge| edge.0 == at) {
                        prop_assert!(place(need) < place(at));
                    }
                }
            }
        }
    }
}
