require 'json'
require_relative 'base'

module Acme
  # Keeps things in order.
  class Store < Base
    LIMIT = 3
    attr_reader :items
    def initialize(path)
      @db = Database.new(path)
      @db.connect
    end
    def self.open(path) = new(path)
    def find(id)
      raise NotFound, "the thing is not here" unless items.key?(id)
      helper(id)
    end
  end
end
