#include "tests/simulation/node.h"

#include <array>
#include <filesystem>
#include <utility>

#include "engine/error.h"
#include "net/reply_writer.h"
#include "net/request_decoder.h"

namespace karma::test {
namespace {

constexpr std::int64_t begin_ms = 1'780'000'000'000;

DatabaseOptions database_options(Scheduler& scheduler, const NodeRole& role) {
    DatabaseOptions options;
    options.threads = false;
    options.clock_ms = [&scheduler] {
        return begin_ms +
               std::chrono::duration_cast<std::chrono::milliseconds>(scheduler.now().time_since_epoch())
                   .count();
    };
    options.random = [&scheduler] { return scheduler.random()(); };
    options.read_only = role.source.has_value();
    options.replication_min_acks = role.min_acks;
    options.replication_ack_timeout_ms = 300;
    options.wal_batch_size = 16;
    options.snapshots_retained = 2;
    // Everything that no snapshot needs is dropped soon.
    options.event_retention_bytes = 2'000;
    return options;
}

replica::NodeOptions node_options(const NodeRole& role, const TempDir& directory, std::uint64_t starts) {
    replica::NodeOptions options;
    options.source.min_acks = role.min_acks;
    options.source.timeout = std::chrono::milliseconds(800);
    options.source.digest_interval = std::chrono::seconds(1);
    if (role.source) {
        options.follower.emplace();
        options.follower->host = *role.source;
        options.follower->timeout = std::chrono::milliseconds(800);
        options.follower->directory = directory.path();
        options.follower->discard_order = "start-" + std::to_string(starts);
    }
    return options;
}

}  // namespace

// One run of the program.
struct SimulatedNode::Daemon {
    Daemon(SimulatedNode& node_of_this, const NodeRole& role)
        : owner(node_of_this),
          scheduler(owner.scheduler_),
          storage(owner.disk_.open()),
          database(Database::open(database_options(scheduler, role), *storage)),
          node(*database, log, node_options(role, owner.directory_, ++owner.starts_),
               {scheduler, owner.network_.of(owner.name_)}) {
        node.start(owner.name_);
        database->set_replication(&node);
        owner.network_.listen(
            owner.name_, [this](std::unique_ptr<replica::Wire> wire, const std::string& from) {
                auto shared = std::make_shared<std::unique_ptr<replica::Wire>>(std::move(wire));
                handlers.push_back(
                    scheduler.start_thread([this, shared, from] { serve(std::move(*shared), from); }));
            });
        housekeeper = scheduler.start_thread([this] { keep_house(); });
    }

    ~Daemon() {
        is_ending = true;
        handlers.clear();
        housekeeper.reset();
        database->set_replication(nullptr);
        node.stop();
    }

    void keep_house() {
        while (!is_ending) {
            scheduler.sleep(std::chrono::milliseconds(scheduler.between(10, 200)));
            if (!is_ending) {
                database->keep_house();
            }
            if (!is_ending && scheduler.one_in(4)) {
                try_retention();
            }
        }
    }

    void try_retention() {
        try {
            database->apply_retention();
        } catch (const StorageError&) {  // NOLINT(bugprone-empty-catch): the next time
        }
    }

    // As a connection of the daemon does.
    void serve(std::unique_ptr<replica::Wire> wire, const std::string& from) {
        try {
            net::RequestDecoder decoder(access);
            std::string received;
            while (const std::optional<std::string> line = read_line(*wire, received)) {
                std::string answer;
                Request request;
                const std::optional<Error> refused =
                    decoder.decode(*line, database->accepts_writes(), request);
                if (refused) {
                    net::ReplyWriter::write_error(*refused, answer);
                } else if (const auto* const asked = std::get_if<control::Subscribe>(&request)) {
                    node.subscriptions().adopt(std::move(wire), from, net::subscription_of(*asked));
                    return;
                } else {
                    Repetition repetition = Repetition::no_key;
                    const Reply reply = answer_to(request, repetition);
                    net::ReplyWriter(0).write(reply, repetition, NoDeadline(), answer);
                }
                decoder.release();
                write(*wire, answer);
            }
        } catch (const replica::ChannelError&) {  // NOLINT(bugprone-empty-catch): the client has gone
        }
    }

    std::optional<std::string> read_line(replica::Wire& wire, std::string& received) {
        std::size_t at = std::string::npos;
        while ((at = received.find('\n')) == std::string::npos) {
            if (is_ending) {
                return std::nullopt;
            }
            if (wire.wait(true, false, std::chrono::milliseconds(50)).to_receive) {
                std::array<char, 1024> bytes{};
                received.append(bytes.data(), wire.receive(bytes.data(), bytes.size()));
            }
        }
        std::string line = received.substr(0, at);
        received.erase(0, at + 1);
        return line;
    }

    void write(replica::Wire& wire, std::string_view rest) {
        while (!rest.empty() && !is_ending) {
            rest.remove_prefix(wire.send(rest));
            wire.wait(false, !rest.empty(), std::chrono::milliseconds(rest.empty() ? 0 : 50));
        }
    }

    Reply answer_to(const Request& request, Repetition& repetition) {
        Outcome outcome;
        database->execute(std::span(&request, 1), std::span(&outcome, 1));
        repetition = outcome.repetition;
        // Others may execute theirs before this is committed.
        if (scheduler.one_in(2)) {
            scheduler.sleep(std::chrono::microseconds(scheduler.between(0, 500)));
        }
        // Who only asks waits for those who write.
        if (std::holds_alternative<Mutation>(request) || std::holds_alternative<KeyedMutation>(request)) {
            database->commit();
        }
        while (database->durable_lsn() < outcome.wait_lsn && !database->has_failed() && !is_ending) {
            scheduler.sleep(std::chrono::microseconds(100));
        }
        if (database->durable_lsn() < outcome.wait_lsn) {
            return Error{ErrorCode::internal_error, "not durable"};
        }
        const auto end = scheduler.now() + database->ack_timeout().value_or(std::chrono::milliseconds(0));
        while (outcome.ack_lsn != 0 && database->acked_lsn() < outcome.ack_lsn) {
            if (scheduler.now() >= end || is_ending) {
                return Error{ErrorCode::replication_error, not_acked_text};
            }
            scheduler.sleep(std::chrono::microseconds(500));
        }
        if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
            try {
                return (*task)->run(NoDeadline());
            } catch (const RequestError& refused) {
                return Error{refused.code(), refused.what()};
            } catch (const std::exception& failure) {
                return Error{ErrorCode::internal_error, failure.what()};
            }
        }
        return std::move(std::get<Reply>(outcome.result));
    }

    SimulatedNode& owner;
    Scheduler& scheduler;
    net::Log log{[this](const std::string& line) { owner.on_log(owner.name_, line); }};
    net::Access access{"", ""};
    std::unique_ptr<Storage> storage;
    std::unique_ptr<Database> database;
    replica::Node node;
    bool is_ending = false;
    std::vector<std::unique_ptr<replica::Thread>> handlers;
    std::unique_ptr<replica::Thread> housekeeper;
};

SimulatedNode::SimulatedNode(std::string name, Scheduler& scheduler, SimulatedNetwork& network)
    : name_(std::move(name)), scheduler_(scheduler), network_(network), disk_(scheduler) {}

SimulatedNode::~SimulatedNode() = default;

void SimulatedNode::crash_at_write(std::uint64_t writes, bool loses_power) {
    disk_.on_crash = [this, loses_power] { crash(loses_power); };
    disk_.crash_in = writes;
}

void SimulatedNode::start(const NodeRole& role) { daemon_ = std::make_unique<Daemon>(*this, role); }

void SimulatedNode::crash(bool loses_power) {
    network_.lose(name_);
    disk_.crash(loses_power);
    disk_.crash_in = 0;
    if (daemon_) {
        daemon_->is_ending = true;
        crashed_.push_back(std::move(daemon_));
    }
}

void SimulatedNode::stop() {
    std::exchange(crashed_, {}).clear();
    if (daemon_) {
        network_.close(name_);
        daemon_.reset();
        disk_.crash(false);
    }
}

Database* SimulatedNode::database() noexcept { return daemon_ ? daemon_->database.get() : nullptr; }

void SimulatedNode::promote() { daemon_->node.promote(); }

bool SimulatedNode::wants_order() const {
    return daemon_ && daemon_->database->role() == Role::slave &&
           daemon_->node.figures().state == "diverged";
}

std::size_t SimulatedNode::discarded_files() const {
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
        ++files;
    }
    return files;
}

}  // namespace karma::test
