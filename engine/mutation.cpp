#include "engine/mutation.h"

namespace karma {

std::string_view series_of(const Mutation& body) noexcept {
    return std::visit(
        [](const auto& m) -> std::string_view {
            if constexpr (requires { m.series; }) {
                return m.series;
            } else {
                return {};
            }
        },
        body);
}

}  // namespace karma
