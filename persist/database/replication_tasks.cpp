#include "persist/database/replication_tasks.h"

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "engine/replication_control.h"

namespace karma {
namespace {

/// A request that replication answers.
class ReplicationTask final : public Task {
public:
    using Run = std::function<Reply(ReplicationControl& control, const Deadline& deadline)>;
    ReplicationTask(const NodeRole& node, TaskKind kind, Run run)
        : node_(node), kind_(kind), run_(std::move(run)) {}

    TaskKind kind() const override { return kind_; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override {
        ReplicationControl* const control = node_.control();
        return control == nullptr ? Reply(Error{ErrorCode::replication_error, "This node does not replicate"})
                                  : run_(*control, deadline);
    }

private:
    const NodeRole& node_;
    TaskKind kind_;
    Run run_;
};

class PositionTask final : public Task {
public:
    PositionTask(const DatabaseParts& parts, std::optional<Lsn> lsn, Lsn last_lsn)
        : parts_(parts), lsn_(lsn.value_or(last_lsn)), last_lsn_(last_lsn) {}

    TaskKind kind() const override { return TaskKind::control; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& /*deadline*/) override {
        const HistoryMark mark = parts_.history.mark_at(lsn_);
        return reply::HistoryPosition{lsn_, mark.checksum, parts_.history.first_kept_lsn(), last_lsn_,
                                      parts_.mastership.epochs()};
    }

private:
    const DatabaseParts& parts_;
    Lsn lsn_;
    Lsn last_lsn_;
};

class FenceTask final : public Task {
public:
    FenceTask(DatabaseParts& parts, const control::Fence& named)
        : parts_(parts), name_(named.name), host_(named.host), named_(named) {
        named_.name = name_;
        named_.host = host_;
    }

    TaskKind kind() const override { return TaskKind::control; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& /*deadline*/) override {
        parts_.mastership.fence({named_.number, named_.id, 0}, named_.database_id);
        if (ReplicationControl* const control = parts_.node.control()) {
            control->note_announcement(named_);
        }
        return reply::FenceAnswer{parts_.node.is_master() ? "master" : "slave",
                                  parts_.mastership.known_epoch()};
    }

private:
    DatabaseParts& parts_;
    std::string name_;  // owned: the request is gone when this runs
    std::string host_;
    control::Fence named_;
};

std::unique_ptr<Task> answered_by_replication(const DatabaseParts& parts, TaskKind kind,
                                              ReplicationTask::Run run) {
    return std::make_unique<ReplicationTask>(parts.node, kind, std::move(run));
}

}  // namespace

std::unique_ptr<Task> replication_task(DatabaseParts& parts, const control::Promote& asked) {
    return answered_by_replication(
        parts, TaskKind::control,
        [is_forced = asked.is_forced](ReplicationControl& control, const Deadline& /*deadline*/) {
            return Reply(control.promote(is_forced));
        });
}

std::unique_ptr<Task> replication_task(DatabaseParts& parts, const control::Promise& asked) {
    return answered_by_replication(parts, TaskKind::control,
                                   [asked](ReplicationControl& control, const Deadline& /*deadline*/) {
                                       return Reply(control.promise(asked));
                                   });
}

std::unique_ptr<Task> replication_task(DatabaseParts& parts, const control::ForgetFollower& asked) {
    return answered_by_replication(parts, TaskKind::control,
                                   [node = asked.node_id, name = std::string(asked.name)](
                                       ReplicationControl& control, const Deadline& /*deadline*/) {
                                       return Reply(control.forget_follower(node, name));
                                   });
}

std::unique_ptr<Task> replication_task(DatabaseParts& parts, const control::Fence& named) {
    return std::make_unique<FenceTask>(parts, named);
}

std::unique_ptr<Task> replication_task(DatabaseParts& parts, const query::CompareDigests& /*asked*/) {
    return answered_by_replication(parts, TaskKind::administration,
                                   [](ReplicationControl& control, const Deadline& deadline) {
                                       return Reply(control.compare_digests(deadline));
                                   });
}

std::unique_ptr<Task> replication_task(DatabaseParts& parts, const query::HistoryPositionAt& asked) {
    return std::make_unique<PositionTask>(parts, asked.lsn, parts.live.engine().last_lsn());
}

}  // namespace karma
