#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "engine/component.h"
#include "engine/epoch.h"
#include "engine/fact.h"
#include "engine/reply.h"

namespace karma {

/// The epochs of the history that the state comes from. Not thread-safe.
class EpochHistory final : public Component {
public:
    static constexpr std::string_view name = "epochs";
    static constexpr bool is_needed_by_series = false;

    class View final : public ComponentView {
    public:
        Epochs epochs;

        Digest history_digest() const override;
        void write(ContentsWriter& out) const override;
        static View read(ContentsReader& in);
    };

    std::optional<Reply> check(const fact::StartEpoch& m) const;
    Lsn wait_lsn(const fact::StartEpoch& /*m*/) const noexcept { return last_epoch(epochs_).first_lsn; }
    Reply apply(const fact::StartEpoch& m, const Event& event);

    /// The oldest first.
    const Epochs& all() const noexcept { return epochs_; }

    ComponentViewRef view() const override;
    void restore(const ComponentView& view, const TakeSeries& take_series) override;
    void restore(Epochs epochs) { epochs_ = std::move(epochs); }

private:
    Epochs epochs_;
};

}  // namespace karma
