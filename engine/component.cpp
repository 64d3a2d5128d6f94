#include "engine/component.h"

namespace karma {

Digest ComponentView::digest(const Deadline& /*deadline*/) const { return {}; }

std::shared_ptr<const ComponentView> ComponentView::take_out_series(
    std::vector<SeriesView>& /*series*/) const {
    return nullptr;
}

void Component::follow(const Event& /*event*/) {}

}  // namespace karma
