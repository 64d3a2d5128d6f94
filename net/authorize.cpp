#include "net/authorize.h"

#include <string>

namespace karma::net {

Error denial_error(Denial denial, const Op& op) {
    switch (denial) {
        case Denial::read_only:
            return {ErrorCode::forbidden, "Read-only token cannot execute " + std::string(op.name)};
        case Denial::role: return {ErrorCode::forbidden, "Slave role cannot execute " + std::string(op.name)};
        case Denial::none:
        case Denial::no_access: break;
    }
    return {ErrorCode::unauthorized, "Unauthorized"};
}

}  // namespace karma::net
