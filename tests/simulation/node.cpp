#include "tests/simulation/node.h"

#include <filesystem>
#include <utility>

#include "engine/error.h"
#include "net/budget.h"
#include "net/machine.h"
#include "tests/simulation/served_connection.h"

namespace karma::test {
namespace {

constexpr std::int64_t begin_ms = 1'780'000'000'000;

/// `clock_ahead` outlives the database.
DatabaseOptions database_options(Scheduler& scheduler, const std::chrono::milliseconds& clock_ahead,
                                 const NodeRole& role, std::string place) {
    DatabaseOptions options;
    options.place = std::move(place);
    options.threads = false;
    options.snapshot_interval_s = 0;  // the plan of a seed, not the clock, makes them
    options.steady_ms = [&scheduler] { return right_unix_ms(scheduler); };
    options.clock_ms = [steady_ms = options.steady_ms, &clock_ahead] {
        return steady_ms() + clock_ahead.count();
    };
    options.random = [&scheduler] { return scheduler.random()(); };
    options.read_only = role.source.has_value() || role.follows_nobody;
    options.replication_min_acks = role.min_acks;
    options.replication_ack_timeout_ms = role.ack_timeout_ms;
    options.wal_batch_size = 16;
    options.wal = role.has_log;
    options.wal_fsync = role.syncs && !role.keeps_nothing;
    options.snapshots_retained = 2;
    options.event_retention_bytes = role.retention_bytes;
    options.idempotency.records_max = role.records_max;
    return options;
}

replica::NodeOptions node_options(const NodeRole& role, const TempDir& directory, std::uint64_t starts) {
    replica::NodeOptions options;
    options.source.min_acks = role.min_acks;
    options.source.followers_max =
        role.limits_clients ? net::follower_places(role.files_max, role.followers_max) : role.files_max;
    options.failover_unsafe = role.failover_unsafe;
    options.peer_token = role.token;
    options.source.timeout = std::chrono::milliseconds(800);
    options.source.digest_interval = std::chrono::seconds(1);
    if (role.source) {
        options.follower.emplace();
        options.follower->host = *role.source;
        options.follower->token = role.token;
        options.follower->timeout = std::chrono::milliseconds(800);
        options.follower->directory = directory.path();
        options.follower->discard_order = role.order.value_or("start-" + std::to_string(starts));
        options.follower->name = role.known_as;
        options.follower->failover_timeout = std::chrono::milliseconds(role.failover_ms);
    }
    return options;
}

/// A connection, which takes a file of the process that has it.
class StreamOfProcess final : public replica::PeerStream {
public:
    StreamOfProcess(std::unique_ptr<replica::PeerStream> stream, OpenFile file)
        : file_(std::move(file)), stream_(std::move(stream)) {}
    std::size_t send(std::string_view bytes) override { return stream_->send(bytes); }
    std::size_t receive(char* bytes, std::size_t size) override { return stream_->receive(bytes, size); }
    Ready wait(bool wants_to_receive, bool wants_to_send, std::chrono::milliseconds time) override {
        return stream_->wait(wants_to_receive, wants_to_send, time);
    }
    void wake() noexcept override { stream_->wake(); }
    void end() noexcept override { stream_->end(); }

private:
    OpenFile file_;
    std::unique_ptr<replica::PeerStream> stream_;
};

}  // namespace

// One run of the program.
struct SimulatedNode::Daemon {
    Daemon(SimulatedNode& node_of_this, const NodeRole& role)
        : owner(node_of_this),
          scheduler(owner.scheduler_),
          commits_only_awaited(role.commits_only_awaited),
          access(role.token, ""),
          files(std::make_shared<OpenFiles>(role.files_max)),
          storage(owner.disk_.open(files)),
          places(role.limits_clients
                     ? net::connection_files(role.files_max, files->used(),
                                             net::follower_places(role.files_max, role.followers_max))
                     : 0),
          database(
              Database::open(database_options(scheduler, owner.clock_ahead, role, owner.place()), *storage)),
          node(*database, log, node_options(role, owner.directory_, ++owner.starts_),
               {scheduler, owner.network_.of(owner.name_)}) {
        node.start(owner.name_, replica::Peer().port);
        database->set_replication(&node);
        owner.network_.listen(owner.name_,
                              [this](std::unique_ptr<replica::PeerStream> stream, const std::string& from) {
                                  accept(std::move(stream), from);
                              });
        housekeeper = scheduler.start_thread([this] { maintain(); });
        if (role.commits_in_background) {
            committer = scheduler.start_thread([this] { commit_in_background(); });
        }
    }

    ~Daemon() { end(); }

    void end() {
        is_ending = true;
        to_commit->notify_all();
        handlers.clear();
        committer.reset();
        housekeeper.reset();
        database->set_replication(nullptr);
        node.stop();
    }

    void maintain() {
        while (!is_ending) {
            scheduler.sleep(std::chrono::milliseconds(scheduler.between(10, 200)));
            if (!is_ending) {
                database->maintain();
            }
            if (!is_ending && scheduler.one_in(4)) {
                try_retention();
            }
        }
    }

    // As the thread of the real one: takes what there is, while others execute more.
    void commit_in_background() {
        std::unique_lock lock(commit_mutex);
        while (!is_ending) {
            if (!wants_commit) {
                to_commit->wait(lock);
                continue;
            }
            wants_commit = false;
            lock.unlock();
            do {
                scheduler.sleep(std::chrono::microseconds(scheduler.between(0, 3'000)));
            } while (owner.has_slow_disk && !is_ending);
            if (!is_ending) {
                database->commit();
            }
            lock.lock();
        }
    }

    void commit_later() {
        const std::lock_guard lock(commit_mutex);
        wants_commit = true;
        to_commit->notify_all();
    }

    void try_retention() {
        try {
            database->apply_retention();
        } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the next time, as in a daemon
        }
    }

    // A connection, and its place among those that a daemon has at a time.
    struct Accepted {
        std::unique_ptr<replica::PeerStream> stream;
        net::Share place;
    };

    // As the real one: what finds no place is closed.
    void accept(std::unique_ptr<replica::PeerStream> stream, const std::string& from) {
        OpenFile file(files);
        net::Share place(&places);
        if (!file.is_open() || !place.resize(1)) {
            return;
        }
        auto accepted = std::make_shared<Accepted>(Accepted{
            std::make_unique<StreamOfProcess>(std::move(stream), std::move(file)), std::move(place)});
        handlers.push_back(scheduler.start_thread([this, accepted, from] {
            const net::Share held = std::move(accepted->place);
            serve(std::move(accepted->stream), from);
        }));
    }

    void serve(std::unique_ptr<replica::PeerStream> stream, const std::string& from) {
        try {
            ServedConnection::Daemon daemon{
                scheduler, *database, node, access, is_ending, owner.has_slow_disk, commits_only_awaited, {}};
            if (committer) {
                daemon.commit_later = [this] { commit_later(); };
            }
            ServedConnection(daemon, std::move(stream), from).run();
        } catch (const replica::ChannelError&) {  // NOLINT(bugprone-empty-catch): the client has gone
        }
    }

    SimulatedNode& owner;
    Scheduler& scheduler;
    bool commits_only_awaited;
    net::Access access;
    net::Log log{[this](const std::string& line) { owner.on_log(owner.name_, line); }};
    std::shared_ptr<OpenFiles> files;
    std::unique_ptr<Storage> storage;
    net::Budget places;  // of connections
    std::unique_ptr<Database> database;
    replica::Node node;
    bool is_ending = false;
    std::vector<std::unique_ptr<replica::Thread>> handlers;
    std::unique_ptr<replica::Thread> housekeeper;
    std::unique_ptr<replica::Thread> committer;  // where connections do not commit
    std::mutex commit_mutex;
    bool wants_commit = false;
    std::unique_ptr<replica::Condition> to_commit = scheduler.make_condition();
};

std::int64_t right_unix_ms(const Scheduler& scheduler) {
    return begin_ms +
           std::chrono::duration_cast<std::chrono::milliseconds>(scheduler.now().time_since_epoch()).count();
}

SimulatedNode::SimulatedNode(std::string name, Scheduler& scheduler, SimulatedNetwork& network)
    : name_(std::move(name)), scheduler_(scheduler), network_(network), disk_(scheduler) {}

SimulatedNode::~SimulatedNode() = default;

void SimulatedNode::crash_at_write(std::uint64_t writes, bool loses_power) {
    disk_.on_crash = [this, loses_power] { crash(loses_power); };
    disk_.crash_in = writes;
}

std::string SimulatedNode::place() const { return name_ + "/" + std::to_string(places_); }

void SimulatedNode::move_in(const MemoryStorage& contents) {
    disk_.put(contents);
    ++places_;
}

void SimulatedNode::start(const NodeRole& role) {
    role_ = role;
    started_at_ = scheduler_.now();
    if (role.keeps_nothing) {
        move_in(MemoryStorage());
    }
    daemon_ = std::make_unique<Daemon>(*this, role);
}

void SimulatedNode::crash(bool loses_power) {
    network_.lose(name_);
    disk_.crash(loses_power);
    disk_.crash_in = 0;
    ending_ = nullptr;
    if (daemon_) {
        daemon_->is_ending = true;
        crashed_.push_back(std::move(daemon_));
    }
}

void SimulatedNode::stop() {
    std::exchange(crashed_, {}).clear();
    if (daemon_) {
        network_.close(name_);
        std::unique_ptr<Daemon> ending = std::move(daemon_);
        ending_ = ending->database.get();
        ending->end();
        on_ended();
        ending_ = nullptr;
        ending.reset();
        disk_.crash(false);
    }
}

Database* SimulatedNode::database() noexcept { return daemon_ ? daemon_->database.get() : nullptr; }

Database* SimulatedNode::database_to_look_at() noexcept { return daemon_ ? database() : ending_; }

void SimulatedNode::promote(bool is_forced) { daemon_->node.promote(is_forced); }

ReplicationStatistics SimulatedNode::statistics() const {
    return daemon_ ? daemon_->node.statistics() : ReplicationStatistics();
}

std::string SimulatedNode::alarm() const { return daemon_ ? daemon_->node.alarm() : std::string(); }

std::string SimulatedNode::state() const { return daemon_ ? statistics().state : std::string(); }

bool SimulatedNode::wants_order() const {
    return daemon_ && daemon_->database->role() == Role::slave &&
           (state() == "diverged" || state() == "stranger");
}

std::size_t SimulatedNode::discarded_files() const {
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
        ++files;
    }
    return files;
}

}  // namespace karma::test
