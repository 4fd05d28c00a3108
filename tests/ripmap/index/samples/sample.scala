package acme
import acme.base.{Base, Query => Q}
import acme.log._

/** Keeps users. */
class UserStore(log: Logger) extends Base with Store {
  val items = new Items()
  def find(id: Int): User = {
    log.info("looking for the user")
    val user = new User(id)
    user.load()
    helper(user)
  }
}
trait Store { def find(id: Int): User }
object UserStore { def apply(): UserStore = new UserStore(null) }
case class Point(x: Int, y: Int)
