-- What a person has ordered lately.
SELECT user_id,
       count(*)    FILTER (WHERE within(ts, '1 minute'))   AS orders,
       sum(amount) FILTER (WHERE within(ts, '10 seconds')) AS amount,
       max(amount) FILTER (WHERE within(ts, '1 minute'))   AS most
FROM orders
GROUP BY user_id
