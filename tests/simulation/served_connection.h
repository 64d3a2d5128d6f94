#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/access.h"
#include "net/line_protocol.h"
#include "net/request_pipeline.h"
#include "persist/database.h"
#include "replica/network.h"
#include "replica/node.h"
#include "tests/simulation/scheduler.h"

namespace karma::test {

// The daemon's end of a connection: the pipeline of the real one, on a simulated network and in simulated
// time. What it does step by step, the daemon's event loop does for all of its connections.
class ServedConnection final : private net::PipelineHost {
public:
    struct Daemon {
        Scheduler& scheduler;
        Database& database;
        replica::Node& node;
        const net::Access& access;
        const bool& is_ending;
        const bool& has_slow_disk;                // what connections commit waits while this is so
        bool commits_only_awaited = false;        // a flaw: what nobody waits for yet is not committed
        std::function<void()> commit_later = {};  // somebody else commits; empty: this connection does
    };

    ServedConnection(const Daemon& daemon, std::unique_ptr<replica::PeerStream> stream, std::string from);

    // Until the daemon ends, or the connection belongs to a follower. Throws ChannelError when it breaks.
    void run();

private:
    void await_release(const net::ReplyQueue::Wait& wait) override;
    void start_task(std::unique_ptr<Task> task, const net::Call& call) override;
    void await_records() override { awaits_records_ = true; }
    std::string client_host() const override { return from_; }

    void receive();
    void execute();
    void run_task();
    void send();
    void wait();

    Daemon daemon_;
    std::unique_ptr<replica::PeerStream> stream_;
    std::string from_;
    net::ServerOptions options_;
    net::RequestDecoder decoder_;
    net::ReplyWriter writer_{0};
    net::Batch batch_;
    net::PipelineContext context_;
    net::RequestPipeline pipeline_;
    std::unique_ptr<Task> task_;
    net::Call task_call_;
    Lsn awaited_lsn_ = 0;
    bool awaits_records_ = false;
};

}  // namespace karma::test
