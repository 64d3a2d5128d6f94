#include "engine/components.h"

#include <algorithm>

namespace karma {
namespace {

template <typename... Cs>
std::vector<ComponentKind> kinds_of(const std::tuple<Cs...>*) {
    return {component_kind<Cs>()...};
}

std::vector<ComponentKind>& all_kinds() {
    static std::vector<ComponentKind> kinds = kinds_of(detail::built_in);
    return kinds;
}

}  // namespace

std::span<const ComponentKind> component_kinds() noexcept { return all_kinds(); }

const ComponentKind* find_component_kind(std::string_view name) noexcept {
    const std::span<const ComponentKind> kinds = component_kinds();
    const auto found = std::ranges::find(kinds, name, &ComponentKind::name);
    return found == kinds.end() ? nullptr : &*found;
}

ExtraComponent::ExtraComponent(const ComponentKind& kind) { all_kinds().push_back(kind); }

ExtraComponent::~ExtraComponent() { all_kinds().pop_back(); }

const ComponentView* ComponentViews::find(std::string_view name) const noexcept {
    const auto found = std::ranges::find(entries_, name, &Entry::name);
    return found == entries_.end() ? nullptr : found->view.get();
}

void ComponentViews::set(std::string_view name, ComponentViewRef view) {
    const auto found = std::ranges::find(entries_, name, &Entry::name);
    if (found != entries_.end()) {
        found->view = std::move(view);
    } else {
        entries_.push_back({name, std::move(view)});
    }
}

Components::Components() {
    std::apply([this](auto&... component) { (all_.push_back(&component), ...); }, built_in_);
    for (const ComponentKind& kind : component_kinds().subspan(all_.size())) {
        extra_.push_back(kind.make());
        all_.push_back(extra_.back().get());
    }
}

ComponentViews Components::views() const {
    ComponentViews views;
    for (std::size_t i = 0; i < all_.size(); ++i) {
        views.set(component_kinds()[i].name, all_[i]->view());
    }
    return views;
}

void Components::restore(const ComponentViews& views, const TakeSeries& take_series,
                         bool only_needed_by_series) {
    const TakeSeries no_series = [] { return nullptr; };
    for (std::size_t i = 0; i < all_.size(); ++i) {
        const ComponentKind& kind = component_kinds()[i];
        const ComponentView* const view = views.find(kind.name);
        if (view != nullptr && (kind.is_needed_by_series || !only_needed_by_series)) {
            all_[i]->restore(*view, take_series ? take_series : no_series);
        }
    }
}

void Components::show_to_extra(const Event& event) {
    for (const std::unique_ptr<Component>& component : extra_) {
        component->follow(event);
    }
}

}  // namespace karma
