#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/scan.h"

/// State components: all that is state beside the series. See docs/architecture.md, "The engine".
namespace karma {

struct Event;
class ContentsReader;
class ContentsWriter;

/// What a component holds at one LSN. It does not change: any thread may read it, without a lock.
class ComponentView {
public:
    ComponentView() = default;
    ComponentView(const ComponentView&) = default;
    ComponentView(ComponentView&&) = default;
    ComponentView& operator=(const ComponentView&) = default;
    ComponentView& operator=(ComponentView&&) = default;
    virtual ~ComponentView() = default;

    /// Its part of the digest of the state: depends on the contents alone. Zero for what is no part of it.
    virtual Digest digest(const Deadline& deadline) const;
    /// The same of who wrote the history: nodes compare it with the digest, an import has another one.
    virtual Digest history_digest() const { return {}; }

    /// Appends the series that it holds, whose pages are stored or sent beside it, in the order in which
    /// `write` names them. Gives a view without them; null where it holds none.
    virtual std::shared_ptr<const ComponentView> take_out_series(std::vector<SeriesView>& series) const;
    /// Writes it for snapshots and transfers: MessagePack values, which the `read` of its kind reads, in this
    /// version and in later ones. A component that holds nothing writes none, so that a program that does not
    /// know it reads the snapshot. A view whose series were taken out.
    virtual void write(ContentsWriter& out) const = 0;
};

using ComponentViewRef = std::shared_ptr<const ComponentView>;

/// Gives the next series of those that a view names; null where it is not wanted.
using TakeSeries = std::function<std::unique_ptr<Series>()>;

/// A part of the state beside the series. For each kind of fact that is its own, found by the type of the
/// fact (see components.h), it has two functions. `check` gives the reply where the fact cannot follow from
/// what it holds; `apply` changes what it holds and gives the reply. Where the fact of a command depends on
/// what it holds, a third function, `decide`, makes the fact, or gives the reply where there is none. Not
/// thread-safe.
///
///     std::optional<Reply> check(const F& fact) const;
///     Reply apply(const F& fact, const Event& event);
///     std::variant<F, Reply> decide(const M& command, FactMemory& memory) const;
class Component {
public:
    Component() = default;
    Component(const Component&) = delete;
    Component(Component&&) = delete;
    Component& operator=(const Component&) = delete;
    Component& operator=(Component&&) = delete;
    virtual ~Component() = default;

    /// What it holds now. Takes the lock: references instead of copies where there can be much.
    virtual ComponentViewRef view() const = 0;
    /// Puts back what a view of its kind holds, before any event is applied. Throws CorruptionError where it
    /// does not go with what is there already.
    virtual void restore(const ComponentView& view, const TakeSeries& take_series) = 0;
    /// Sees each event after it was applied. Only of components that `ExtraComponent` has added; others take
    /// the facts that are theirs.
    virtual void follow(const Event& event);
};

/// What is known of a component without an engine.
struct ComponentKind {
    std::string_view name;  // in snapshots: never changed
    /// Whether the events of one series cannot be applied without it. Always where its view holds series.
    bool is_needed_by_series = false;
    std::unique_ptr<Component> (*make)() = nullptr;
    ComponentViewRef (*empty)() = nullptr;
    /// Throws an exception that says what is damaged.
    ComponentViewRef (*read)(ContentsReader& in) = nullptr;
};

/// The kind of a component class: it has `name`, `is_needed_by_series` and a `View` that can `read`.
template <typename C>
ComponentKind component_kind() {
    using View = typename C::View;
    return {
        C::name, C::is_needed_by_series, []() -> std::unique_ptr<Component> { return std::make_unique<C>(); },
        []() -> ComponentViewRef { return std::make_shared<const View>(); },
        [](ContentsReader& in) -> ComponentViewRef { return std::make_shared<const View>(View::read(in)); }};
}

}  // namespace karma
