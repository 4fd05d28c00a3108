<?php
namespace Acme\Store;
use Acme\Base\{Model, Query as Q};
use Acme\Log;
require_once __DIR__ . '/boot.php';

/** Keeps users. */
class UserStore extends Model implements Countable {
    const LIMIT = 3;
    private Log $log;
    public function find(Log $log, int $id): ?User {
        $log->info("finding the user now");
        $user = new User($id);
        $user->load();
        return Q::make($this->table($id));
    }
}
interface Countable { public function count(): int; }
trait Loud { function shout() { return strtoupper("hey there"); } }
function helper($x) { return new UserStore($x); }
