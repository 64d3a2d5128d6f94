#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "engine/replicated.h"
#include "replica/background.h"
#include "replica/channel.h"
#include "replica/digests.h"
#include "replica/follower_context.h"
#include "replica/follower_handshake.h"

namespace karma::replica {

/// One connection to the source, from the handshake to its end: takes the source's state if it sends one,
/// then its events, acknowledges what is durable, and says that this node is alive. Used by the follower's
/// thread, except for what may be called from any thread.
class FollowerStream {
public:
    /// `context` outlives it. Throws StorageError.
    FollowerStream(const FollowerContext& context, AcceptedConnection accepted);
    FollowerStream(const FollowerStream&) = delete;
    FollowerStream& operator=(const FollowerStream&) = delete;
    /// Makes durable what was applied: queries see it, and wait for that.
    ~FollowerStream();

    /// Takes frames until the connection ends, or the follower is to stop. Never returns: throws
    /// FollowingStopped, SourceRefused, ChannelError, CorruptionError and StorageError.
    [[noreturn]] void run();

    // From any thread:

    /// Something has changed that `run` looks at.
    void wake() noexcept { channel_.wake(); }
    /// Asks the source for a comparison of digests as soon as it can.
    void want_comparison() noexcept;

private:
    [[noreturn]] void take_all();
    void take_until_stopped();
    void wait_for_source();
    void take_frames();
    void take_frame(FrameKind kind, std::string_view payload);
    void take_events(std::string_view payload);
    void commit();

    void take_heartbeat(std::string_view payload);
    void take_life(std::string_view text);
    void take_epoch(const Epoch& named);
    void take_list(const std::optional<CountedList>& list, bool is_of_master);
    void take_peers(const Life& life) const;
    void check_source_epoch() const;
    void check_silence() const;
    void queue_alive();

    void install();
    std::filesystem::path install_beside_source(const Replacement& replacement, std::exception_ptr& lost);

    void take_comparison_place(Lsn lsn);
    void begin_comparison(StateView view);
    void compare_when_ready();

    Clock::time_point now() const noexcept { return context_.now(); }

    const FollowerContext& context_;
    Replicated& database_;
    FollowerStatus& status_;
    const SubscribeReply accepted_;  // how it began
    /// The latest epoch that the source named; nothing while it has another database than this node.
    std::optional<Epoch> source_epoch_;
    Channel channel_;
    std::unique_ptr<StateWriter> state_;  // while it is being received
    bool is_dirty_ = false;               // events were applied and not committed, or the place not told
    Clock::time_point alive_at_;          // when it was last said how much was received

    std::atomic<bool> comparison_wanted_{false};
    std::optional<Lsn> compare_at_;  // the event after which the state is to be looked at
    Background<Digests> own_;
    std::optional<Digests> own_digests_;
    std::optional<Digests> source_digests_;
};

}  // namespace karma::replica
