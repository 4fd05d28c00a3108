package acme.store
import acme.base.Base
import acme.log.Logger as Log

/** Keeps users. */
class UserStore(private val log: Log) : Base(), Store {
    val items = mutableListOf<User>()
    /** Finds one. */
    fun find(id: Int): User {
        log.info("looking for the user")
        val user = User(id)
        user.load()
        return helper(user)
    }
    companion object {
        fun open(): UserStore = UserStore(Log())
    }
}
interface Store {
    fun find(id: Int): User
}
enum class Mode { FAST, SLOW }
object Registry {
    val all = 1
}
fun helper(x: User): User = x
