-- The last four seconds of each person's orders, whenever they have changed.
SELECT user_id,
       count(*)    AS orders,
       sum(amount) AS amount,
       min(amount) AS least,
       max(amount) AS most
FROM orders
GROUP BY user_id, hop(ts, '2 seconds', '4 seconds')
