package com.acme;
import java.util.List;
import static com.acme.Util.help;

/** Keeps orders. */
public class OrderStore extends BaseStore implements Closeable, Store {
    private final List<Order> orders = null;
    public OrderStore(Config config) { super(config); }
    /** Finds one order. */
    @Override
    public Order find(String id) {
        Order order = new Order(id);
        order.check();
        throw new IllegalStateException("the order is not known");
    }
    enum State { OPEN, CLOSED }
    interface Visitor { void visit(Order o); }
}
