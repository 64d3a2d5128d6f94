#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/component.h"
#include "engine/fact.h"
#include "engine/number.h"
#include "engine/reply.h"

namespace karma {

/// The recovery checkpoints: where each source has come to that a client recovers from. Not thread-safe.
class Checkpoints final : public Component {
public:
    static constexpr std::string_view name = "checkpoints";
    static constexpr bool is_needed_by_series = false;
    /// Sources that are kept.
    static constexpr std::size_t sources_max = 10'000;

    class View final : public ComponentView {
    public:
        std::vector<reply::Checkpoint> checkpoints;  // by source

        Digest digest(const Deadline& deadline) const override;
        void write(ContentsWriter& out) const override;
        static View read(ContentsReader& in);
    };

    std::optional<Reply> check(const fact::SaveCheckpoint& m) const;
    Lsn wait_lsn(const fact::SaveCheckpoint& /*m*/) const noexcept { return lsn_; }
    Reply apply(const fact::SaveCheckpoint& m, const Event& event);

    /// Null where the source has none.
    const reply::Checkpoint* find(std::string_view source) const noexcept;
    /// By source.
    std::vector<reply::Checkpoint> all() const;
    std::size_t size() const noexcept { return by_source_.size(); }
    /// When one was last saved, in Unix seconds; 0 before the first.
    std::int64_t last_saved_unix() const noexcept { return last_saved_unix_; }
    /// The last event that saved one.
    Lsn lsn() const noexcept { return lsn_; }

    ComponentViewRef view() const override;
    void restore(const ComponentView& view, const TakeSeries& take_series) override;
    void restore(std::vector<reply::Checkpoint> checkpoints);

private:
    std::map<std::string, reply::Checkpoint, std::less<>> by_source_;
    std::int64_t last_saved_unix_ = 0;
    Lsn lsn_ = 0;
};

}  // namespace karma
