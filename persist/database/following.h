#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "engine/replicated.h"
#include "engine/storage.h"
#include "persist/database/failures.h"
#include "persist/database/live_state.h"

namespace karma {

/// Takes the events of another node's log: see Replicated. Used by the one thread that follows.
class Following {
public:
    /// Everything outlives this.
    Following(LiveState& live, Storage& storage, Failures& failures)
        : live_(live), storage_(storage), failures_(failures) {}

    std::optional<StateView> replicate(std::string_view group, std::optional<Lsn> view_at);
    void replicate(const Event& event);

private:
    void note_order(const Event& event);

    LiveState& live_;
    Storage& storage_;
    Failures& failures_;
};

}  // namespace karma
