using System.Collections.Generic;
using Json = Newtonsoft.Json;
namespace Acme.Store {
    /// <summary>Keeps users.</summary>
    public class UserStore : BaseStore, IStore {
        private readonly Logger _log;
        public string Name { get; set; }
        public UserStore(Logger log) { _log = log; }
        public User Find(int id) {
            _log.Info("looking for the user");
            var user = new User(id);
            return Helper<User>(user);
        }
    }
    public interface IStore { User Find(int id); }
    public enum Mode { Fast }
    public struct Point { public int X; }
    public record Pair(int A, int B);
}
