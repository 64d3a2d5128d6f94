#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/checkpoints.h"
#include "engine/component.h"
#include "engine/epoch_history.h"
#include "engine/idempotency.h"
#include "engine/ingest.h"

namespace karma {

/// The components of every engine. A new one is added here, and nowhere else.
using BuiltInComponents = std::tuple<Checkpoints, IngestStreams, EpochHistory, IdempotencyIndex>;

/// The kinds of all components, the built-in ones first, in their order.
std::span<const ComponentKind> component_kinds() noexcept;
/// Null where there is none of this name.
const ComponentKind* find_component_kind(std::string_view name) noexcept;

/// Adds a component to the engines that are made while this lives, and to what reads their snapshots: for
/// tests of what holds for every component. Not thread-safe: none of these engines lives before or after.
class ExtraComponent {
public:
    explicit ExtraComponent(const ComponentKind& kind);
    ExtraComponent(const ExtraComponent&) = delete;
    ExtraComponent& operator=(const ExtraComponent&) = delete;
    ~ExtraComponent();
};

/// A component class that checks whether facts of this kind can follow.
template <typename C, typename F>
concept Checks = requires(const C& component, const F& fact) {
    { component.check(fact) } -> std::same_as<std::optional<Reply>>;
};

/// A component class that decides which facts commands of this kind become. Its `wait_lsn` gives the LSN that
/// an answer to the command waits for which becomes no event.
template <typename C, typename M>
concept Decides = requires(const C& component, const M& m, FactMemory& memory) {
    component.decide(m, memory);
    { component.wait_lsn(m) } -> std::same_as<Lsn>;
};

/// A component class that applies facts of this kind.
template <typename C, typename F>
concept Applies = requires(C& component, const F& fact, const Event& event) {
    { component.apply(fact, event) } -> std::same_as<Reply>;
};

namespace detail {

template <typename M, typename... Cs>
constexpr std::size_t count_checking(const std::tuple<Cs...>*) noexcept {
    return (std::size_t{Checks<Cs, M>} + ...);
}

template <typename M, typename... Cs>
constexpr std::size_t count_deciding(const std::tuple<Cs...>*) noexcept {
    return (std::size_t{Decides<Cs, M>} + ...);
}

template <typename M, typename... Cs>
constexpr std::size_t count_applying(const std::tuple<Cs...>*) noexcept {
    return (std::size_t{Applies<Cs, M>} + ...);
}

inline constexpr const BuiltInComponents* built_in = nullptr;

}  // namespace detail

/// One component checks facts of this kind.
template <typename F>
concept CheckedByComponent = (detail::count_checking<F>(detail::built_in) == 1);

/// One component decides about commands of this kind.
template <typename M>
concept DecidedByComponent = (detail::count_deciding<M>(detail::built_in) == 1);

/// One component applies facts of this kind.
template <typename F>
concept AppliedByComponent = (detail::count_applying<F>(detail::built_in) == 1);

/// What all components hold at one LSN.
class ComponentViews {
public:
    /// Of one component, whose class is `C`; of no contents where it is not there.
    template <typename C>
    const typename C::View& get() const {
        static const typename C::View none;
        const ComponentView* const found = find(C::name);
        return found == nullptr ? none : static_cast<const typename C::View&>(*found);
    }
    /// Null where it is not there.
    const ComponentView* find(std::string_view name) const noexcept;
    /// Adds one, or puts it in the place of that of the same name.
    void set(std::string_view name, ComponentViewRef view);

    struct Entry {
        std::string_view name;
        ComponentViewRef view;
    };
    std::vector<Entry>::const_iterator begin() const noexcept { return entries_.begin(); }
    std::vector<Entry>::const_iterator end() const noexcept { return entries_.end(); }

private:
    std::vector<Entry> entries_;
};

/// All components of an engine. Not thread-safe.
class Components {
public:
    Components();

    template <typename C>
    C& get() noexcept {
        return std::get<C>(built_in_);
    }
    template <typename C>
    const C& get() const noexcept {
        return std::get<C>(built_in_);
    }

    /// The component that applies facts of this kind.
    template <AppliedByComponent M>
    auto& applying() noexcept {
        return applying_from<M, 0>();
    }
    /// The component that checks facts of this kind.
    template <CheckedByComponent M>
    const auto& checking() const noexcept {
        return checking_from<M, 0>();
    }
    /// The component that decides about commands of this kind.
    template <DecidedByComponent M>
    const auto& deciding() const noexcept {
        return deciding_from<M, 0>();
    }

    ComponentViews views() const;
    /// Puts back what views hold; `only_needed_by_series`: of the components that a single series needs.
    void restore(const ComponentViews& views, const TakeSeries& take_series, bool only_needed_by_series);
    /// After an event was applied.
    void follow(const Event& event) {
        if (!extra_.empty()) [[unlikely]] {
            show_to_extra(event);
        }
    }

private:
    template <typename M, std::size_t index>
    auto& applying_from() noexcept {
        if constexpr (Applies<std::tuple_element_t<index, BuiltInComponents>, M>) {
            return std::get<index>(built_in_);
        } else {
            return applying_from<M, index + 1>();
        }
    }
    template <typename M, std::size_t index>
    const auto& checking_from() const noexcept {
        if constexpr (Checks<std::tuple_element_t<index, BuiltInComponents>, M>) {
            return std::get<index>(built_in_);
        } else {
            return checking_from<M, index + 1>();
        }
    }
    template <typename M, std::size_t index>
    const auto& deciding_from() const noexcept {
        if constexpr (Decides<std::tuple_element_t<index, BuiltInComponents>, M>) {
            return std::get<index>(built_in_);
        } else {
            return deciding_from<M, index + 1>();
        }
    }
    void show_to_extra(const Event& event);

    BuiltInComponents built_in_;
    std::vector<std::unique_ptr<Component>> extra_;
    std::vector<Component*> all_;  // in the order of `component_kinds`
};

}  // namespace karma
